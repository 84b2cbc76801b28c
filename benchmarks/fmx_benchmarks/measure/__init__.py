"""Take measurements: on this machine, on devices, with reference tools."""
