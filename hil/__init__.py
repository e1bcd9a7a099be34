"""The rig: real parts, a robot model, a collector, and the campaigns that use them."""
