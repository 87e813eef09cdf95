"""What the hub answers people and programs, one file a resource."""
