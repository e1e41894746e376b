"""What is taken away: instances, apps, and what a deployment leaves behind."""
