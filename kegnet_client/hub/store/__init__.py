"""What the hub keeps."""
