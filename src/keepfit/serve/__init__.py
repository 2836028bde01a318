"""Models at work: the Open Inference Protocol over HTTP, with predictions in worker processes."""
