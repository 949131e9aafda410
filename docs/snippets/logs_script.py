from scrapy_resilience.logs import (
    clear_request_context,
    get_logger,
    log_exceptions,
    log_execution_time,
    set_request_context,
    setup_logging,
)

setup_logging("INFO", json=True, log_dir="logs", files=["shop.prices"])
logger = get_logger("shop.prices", component="importer")


@log_exceptions(reraise=False)
@log_execution_time
def read(text):
    return float(text)


for order, text in {"A-1": "12.50", "A-2": "on request"}.items():
    set_request_context(trace_id=order, user_id=7)
    logger.info("Reading %s", text, extra={"order": order})
    read(text)
clear_request_context()
logger.info("Done")
