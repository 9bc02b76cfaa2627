"""Reading and changing slices through NVML."""
