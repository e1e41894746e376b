"""An image goes live: want, boot, probe, switch, retire."""
