"""Generated code is run here and nowhere else: in a process of its own, behind walls that the kernel holds up."""
