"""What the data is: schema, import, packed shards, label layers, the phantom, and the order of samples."""
