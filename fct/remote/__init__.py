"""DVC's remote: whether it holds, unharmed, what the present dvc.lock names. The one importer of DVC in `fct`."""
