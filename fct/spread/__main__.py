"""Train the chosen configuration `spread.trainings` times, and measure how much the models differ.

    python -m fct.spread

Reads what a training reads, and the gate split. Writes metrics/spread.json, which lines of the gate `over: trainings`
need. With 0 trainings, the default, it only writes that there are none. Run the command again after a crash or a kill:
finished measurements are kept in .fct/spread.
"""

from __future__ import annotations

from fct import tracking
from fct.core import environment
from fct.core.errors import exit_on_error
from fct.core.params import load
from fct.core.paths import BEST_METHOD, SPLITS, SPREAD_METRICS
from fct.gate.trainings import NONE, Spread
from fct.spread.params import Params


def main() -> None:
    """Run the stage."""
    with exit_on_error():
        params = load(Params)
        if not params.spread.trainings:
            NONE.write()
            print("spread.trainings is 0: the verdict will be about one training")
            return
        from fct.cache.store import cache_folder
        from fct.spread.measure import measure_trainings
        from fct.spread.table import format_spread

        environment.check()
        with tracking.stage(
            "spread",
            params=params.model_dump(),
            inputs={"search": BEST_METHOD},
            outputs=[SPREAD_METRICS],
            datasets=tracking.datasets(SPLITS, *map(cache_folder, params.cache.qualities)),
        ) as run:
            trainings = measure_trainings(params, params.spread.trainings)
            trainings.write()
            for name, values in trainings.values.items():
                spread = Spread.of(values)
                run.headline({f"spread_{name}": spread.mean, f"spread_{name}_deviation": spread.deviation})
        print(format_spread(trainings, params.evaluate.confidence))


if __name__ == "__main__":
    main()
