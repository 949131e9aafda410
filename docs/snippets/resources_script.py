"""What this process uses, without a crawl."""

from scrapy_resilience.watchdog import check_thresholds, current_metrics

reading = current_metrics()
print(f"{reading.used / 2**20:.0f} of {reading.memory_limit / 2**20:.0f} MB")
for name, disk in reading.disks.items():
    print(f"{name}: {disk.free / 2**30:.1f} GB free on {disk.path}")
for name, status, detail in check_thresholds():
    print(name, status, detail)
