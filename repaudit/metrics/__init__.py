"""Pure numpy: arrays in, numbers out. No device, no files, no user."""
