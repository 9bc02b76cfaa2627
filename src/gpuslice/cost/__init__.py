"""What slices and models cost, from the prices a stack file names."""
