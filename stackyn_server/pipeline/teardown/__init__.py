"""Stop and remove instances, apps, and what a deployment leaves behind."""
