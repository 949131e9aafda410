"""STUB."""
from __future__ import annotations
class Pace:
    rate=None
    mostly_pushback=False
    def __init__(self, now): pass
    def ready_at(self, now): return 0.0
    def take(self, now): pass
    def answered(self, sent_at, now, *, pushback): return False
    def idle(self, now): return True
    def dump(self): return {}
    @classmethod
    def load(cls, data, now): return cls(now)
