"""From a built dataset or a user's files to uint8 batches on the device."""
