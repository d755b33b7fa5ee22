"""The routes of the job service, thin: what a request says goes to the store, what the store says goes into a document."""
