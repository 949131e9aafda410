"""Costs outside of a crawl."""

from scrapy_resilience.cost import CostTracker
from scrapy_resilience.exceptions import BudgetExceededError

costs = CostTracker(
    prices={"llm_tokens": 0.00002},
    budgets=[{"resource": "usd", "limit": 0.01, "per": "hour"}],
)
asked = 0
try:
    for _ in range(10):
        costs.track("llm_tokens", 150, enforce=True)  # before it is spent
        asked += 1
except BudgetExceededError as error:
    print(f"{asked} questions, then: {error.message}")
print(f"${costs.usage().total:.4f}, {costs.usage().budgets[0].left:.4f} left")
