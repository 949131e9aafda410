ADDONS = {"scrapy_resilience.ResilienceAddon": 500}
JOBDIR = "job"
RESILIENCE_SQL_URL = "sqlite:///shop.sqlite"
RESILIENCE_SQL_TABLE = "products"
RESILIENCE_SQL_CREATE = True
