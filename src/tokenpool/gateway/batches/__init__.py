"""Message batches: many calls at half price, held together, settled one by one when their results are there."""
