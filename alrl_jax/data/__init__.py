"""Where faces come from: sources in one table, and a pipeline that makes batches of them."""
