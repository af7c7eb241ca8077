"""What an exported model does on compressed images, with intervals, and the gate that judges it."""
