ADDONS = {"scrapy_resilience.ResilienceAddon": 500}

SCHEDULER = "scrapy_redis.scheduler.Scheduler"
DUPEFILTER_CLASS = "scrapy_redis.dupefilter.RFPDupeFilter"
SCHEDULER_PERSIST = True  # or the first process to end empties the queue of the others
REDIS_URL = "redis://127.0.0.1:6379"

ITEM_PIPELINES = {"scrapy_redis.pipelines.RedisPipeline": 950}  # behind ours: 100 and 900

RESILIENCE_NORMALIZE = {"price": "price"}
RESILIENCE_CONFIDENCE_FIELD = "confidence"
RESILIENCE_RATE_LIMITS = {"*": 5}  # for each process: with four of them, 20 a second
