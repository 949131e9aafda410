"""Benchmarks: ``python -m benchmarks``, side by side with stock Scrapy."""
