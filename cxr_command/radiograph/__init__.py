"""Reading of radiograph files (`reading`), and finding them in folders (`listing`)."""
