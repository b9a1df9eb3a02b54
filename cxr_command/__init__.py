"""What the commands of all packages share: flags, tables, text. Knows no models."""
