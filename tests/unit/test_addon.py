"""What the add-on puts into the settings of a real crawler, and what it leaves to the user."""

from __future__ import annotations

import logging
import re

import pytest
from scrapy import Spider
from scrapy.commands import ScrapyCommand
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler
from scrapy.core.scheduler import Scheduler
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.dupefilters import BaseDupeFilter, RFPDupeFilter
from scrapy.extensions.feedexport import FeedExporter, ItemFilter
from scrapy.extensions.logstats import LogStats
from scrapy.extensions.spiderstate import SpiderState
from scrapy.settings import SETTINGS_PRIORITIES, Settings
from scrapy.spidermiddlewares.httperror import HttpErrorMiddleware
from scrapy.utils.misc import load_object
from scrapy.utils.test import get_crawler

from scrapy_resilience import addon as addon_module
from scrapy_resilience._scrapy import download_handlers
from scrapy_resilience.addon import ResilienceAddon
from scrapy_resilience.downloadermiddlewares.barrier import BarrierMiddleware
from scrapy_resilience.downloadermiddlewares.cookies import DurableCookiesMiddleware
from scrapy_resilience.downloadermiddlewares.injection import FailureInjectionMiddleware
from scrapy_resilience.downloadermiddlewares.retry import ClassifiedRetryMiddleware
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.extensions.checkpoint import Checkpoint
from scrapy_resilience.extensions.coverage import FieldCoverage
from scrapy_resilience.extensions.feedexport import ResilientFeedExporter
from scrapy_resilience.extensions.snapshots import Snapshots
from scrapy_resilience.pipelines.confidence import ConfidencePipeline, DoubtfulItems
from scrapy_resilience.pipelines.normalize import NormalizePipeline
from scrapy_resilience.scheduler import ResilientScheduler
from scrapy_resilience.selectors import Registry, registry
from scrapy_resilience.settings import Config
from scrapy_resilience.settings_checks import _MOSTLY_EMPTY, check_values
from scrapy_resilience.spidermiddlewares.deadletters import DeadLettersMiddleware
from scrapy_resilience.spidermiddlewares.drift import DriftMiddleware
from scrapy_resilience.spidermiddlewares.start import StartMiddleware

ADDON = SETTINGS_PRIORITIES["addon"]
DEFAULT = SETTINGS_PRIORITIES["default"]


class BooksSpider(Spider):
    """A spider with a name."""

    name = "books"


class MyFeedExporter(FeedExporter):
    """A feed exporter of the user."""


class MyScheduler(Scheduler):
    """A scheduler of the user."""


class MyDupeFilter(RFPDupeFilter):
    """A filter of the user with a memory of its own."""

    def request_seen(self, request):
        """All of it."""
        return super().request_seen(request)


class PathFilter(RFPDupeFilter):
    """A filter that says which requests are the same."""

    def request_fingerprint(self, request):
        """The first letters of a URL."""
        return self.shorten(request.url).encode().hex()

    def shorten(self, url):
        """What is not Scrapy's may be there."""
        return url[:20]


class InitFilter(PathFilter):
    """A filter that is made in its own way."""

    def __init__(self):
        """Nothing."""


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    """Keep settings of the machine out."""
    monkeypatch.setattr("scrapy_resilience.settings_sources.os.environ", {})


def applied(settings=None, *, jobdir="job", spider=BooksSpider, **more):
    """Return the settings of a project after the add-on, as Scrapy applies it."""
    settings = {**(settings or {}), **more}
    if jobdir is not None:
        settings["JOBDIR"] = jobdir
    crawler = Crawler(spider, Settings({"LOG_ENABLED": False, **settings}))
    ResilienceAddon.update_pre_crawler_settings(crawler.settings)
    ResilienceAddon.from_crawler(crawler).update_settings(crawler.settings)
    return crawler.settings


def components(settings, name):
    """Return the enabled components of a setting by their classes."""
    found = settings.get_component_priority_dict_with_base(name)
    return {load_object(key): order for key, order in found.items()}


def refusal(settings=None, **more):
    """Return the text of the error that these settings cause."""
    with pytest.raises(ConfigurationError) as caught:
        applied(settings, **more)
    return str(caught.value)


FEEDS = {"FEEDS": {"items.jsonl": {"format": "jsonlines"}}}


# --- all of it ---------------------------------------------------------------------------


def test_scrapy_loads_the_addon():
    """One entry in ADDONS is enough: Scrapy itself applies it."""
    crawler = Crawler(
        BooksSpider,
        {"ADDONS": {"scrapy_resilience.ResilienceAddon": 500}, "LOG_ENABLED": False},
    )
    crawler.spider = BooksSpider()
    crawler._apply_settings()

    assert load_object(crawler.settings["SCHEDULER"]) is ResilientScheduler


def test_what_is_plugged_in():
    """With a JOBDIR each component is in its place."""
    settings = applied(FEEDS)

    assert load_object(settings["SCHEDULER"]) is ResilientScheduler
    assert components(settings, "SPIDER_MIDDLEWARES")[StartMiddleware] == 0
    downloader = components(settings, "DOWNLOADER_MIDDLEWARES")
    assert downloader[BarrierMiddleware] == 1
    assert downloader[DurableCookiesMiddleware] == 700
    assert CookiesMiddleware not in downloader
    extensions = components(settings, "EXTENSIONS")
    assert extensions[ResilientFeedExporter] == 0
    assert extensions[Checkpoint] == 0
    assert extensions[Snapshots] == 0
    assert FeedExporter not in extensions
    assert SpiderState not in extensions


def test_quality_is_watched():
    """Drift and coverage are plugged in without a JOBDIR too, and can be left out."""
    settings = applied(jobdir=None)
    assert DriftMiddleware in components(settings, "SPIDER_MIDDLEWARES")
    assert FieldCoverage in components(settings, "EXTENSIONS")

    settings = applied(RESILIENCE_DRIFT_ENABLED=False, RESILIENCE_COVERAGE_ENABLED=False)
    assert DriftMiddleware not in components(settings, "SPIDER_MIDDLEWARES")
    assert FieldCoverage not in components(settings, "EXTENSIONS")


def test_the_folder_of_selectors(tmp_path, monkeypatch):
    """Selector sets are read from RESILIENCE_SELECTORS_DIR, and from ./selectors without it."""
    monkeypatch.chdir(tmp_path)
    for folder in ("selectors", "others"):
        draft = tmp_path / f"{folder}.toml"
        draft.write_text(f'set = "in_{folder}"\nversion = "1"\n[fields]\nx = ["css:a"]\n')
        Registry(tmp_path / folder).add_file(draft)

    applied(RESILIENCE_SELECTORS_DIR="others")
    assert "in_others" in registry.names()
    applied()
    assert "in_selectors" in registry.names()
    assert "in_others" not in registry.names()
    applied(RESILIENCE_SELECTORS_DIR="")
    assert "in_selectors" not in registry.names()
    applied()


def test_snapshots_can_be_left_out():
    """RESILIENCE_SNAPSHOT_ENABLED=False plugs no Snapshots in."""
    settings = applied(RESILIENCE_SNAPSHOT_ENABLED=False)

    assert Snapshots not in components(settings, "EXTENSIONS")


def test_the_barrier_is_outside_of_all_of_scrapys_middlewares():
    """No middleware of Scrapy stands between the barrier and the engine."""
    settings = applied()

    assert min(components(settings, "DOWNLOADER_MIDDLEWARES").items(), key=lambda x: x[1]) == (
        BarrierMiddleware,
        1,
    )
    assert min(components(settings, "SPIDER_MIDDLEWARES").values()) == 0


@pytest.mark.parametrize("jobdir", ["job", None])
def test_dead_letters_come_last_of_what_may_handle_an_http_error(jobdir):
    """Their middleware is next to Scrapy's HttpErrorMiddleware, with and without a job."""
    found = components(applied(jobdir=jobdir), "SPIDER_MIDDLEWARES")
    order = found[DeadLettersMiddleware]

    scrapys = found[HttpErrorMiddleware]
    assert scrapys < order
    assert not [cls for cls, other in found.items() if scrapys < other < order]
    without = applied(jobdir=jobdir, RESILIENCE_DEADLETTERS_ENABLED=False)
    assert DeadLettersMiddleware not in components(without, "SPIDER_MIDDLEWARES")


def test_simple_settings_are_set_at_addon_priority():
    """What the add-on sets is weaker than anything that a project sets."""
    settings = applied()

    assert settings.getpriority("SCHEDULER") == ADDON
    assert settings.getpriority("CONCURRENT_ITEMS") == ADDON
    assert settings["CONCURRENT_ITEMS"] == 1


def test_without_feeds_the_exporter_stays_scrapys():
    """Without FEEDS there is no exporter to replace."""
    extensions = components(applied(), "EXTENSIONS")

    assert ResilientFeedExporter not in extensions
    assert FeedExporter in extensions


@pytest.mark.parametrize("jobdir", [None, ""])
def test_without_jobdir_only_the_scheduler_is_ours(jobdir):
    """Without a JOBDIR nothing is durable, and nothing for that is plugged in."""
    settings = applied(FEEDS, jobdir=jobdir)

    assert load_object(settings["SCHEDULER"]) is ResilientScheduler
    assert StartMiddleware not in components(settings, "SPIDER_MIDDLEWARES")
    assert BarrierMiddleware not in components(settings, "DOWNLOADER_MIDDLEWARES")
    assert CookiesMiddleware in components(settings, "DOWNLOADER_MIDDLEWARES")
    extensions = components(settings, "EXTENSIONS")
    assert not {Checkpoint, ResilientFeedExporter} & set(extensions)
    assert {FeedExporter, SpiderState} <= set(extensions)


# --- flags -------------------------------------------------------------------------------


def test_the_master_switch_leaves_everything_alone():
    """With RESILIENCE_ENABLED off the settings are those of a project without the add-on."""
    settings = applied(FEEDS, RESILIENCE_ENABLED=False)
    plain = Settings()

    for name in ("SCHEDULER", "CONCURRENT_ITEMS", "SPIDER_MIDDLEWARES", "EXTENSIONS"):
        assert settings[name] == plain[name]
    assert settings["JOBDIR"] == "job"
    assert dict(settings["DOWNLOADER_MIDDLEWARES"]) == dict(plain["DOWNLOADER_MIDDLEWARES"])


@pytest.mark.parametrize(
    ("flag", "gone", "back"),
    [
        ("COOKIES", DurableCookiesMiddleware, CookiesMiddleware),
        ("FEEDS", ResilientFeedExporter, FeedExporter),
    ],
)
def test_a_flag_turns_one_component_off(flag, gone, back):
    """With a flag off Scrapy's own component is back, and the rest stays."""
    settings = applied(FEEDS, **{f"RESILIENCE_{flag}_ENABLED": False})
    found = {
        **components(settings, "DOWNLOADER_MIDDLEWARES"),
        **components(settings, "EXTENSIONS"),
    }

    assert gone not in found
    assert back in found
    assert Checkpoint in found


def test_checkpoint_off_leaves_the_scheduler():
    """Without checkpoints only the scheduler is ours."""
    settings = applied(FEEDS, RESILIENCE_CHECKPOINT_ENABLED=False)

    assert load_object(settings["SCHEDULER"]) is ResilientScheduler
    assert Checkpoint not in components(settings, "EXTENSIONS")
    assert FeedExporter in components(settings, "EXTENSIONS")


def test_scheduler_off_leaves_everything():
    """Without the scheduler nothing that needs it is plugged in."""
    settings = applied(FEEDS, RESILIENCE_SCHEDULER_ENABLED=False)

    assert load_object(settings["SCHEDULER"]) is Scheduler
    assert Checkpoint not in components(settings, "EXTENSIONS")
    assert settings["CONCURRENT_ITEMS"] == 100


# --- the user's own settings ---------------------------------------------------------------


@pytest.mark.parametrize("scheduler", [MyScheduler, f"{Scheduler.__module__}.Scheduler"])
def test_the_users_scheduler_stays(scheduler):
    """A scheduler of the project is kept, and nothing that needs ours is plugged in."""
    settings = applied(FEEDS, SCHEDULER=scheduler)

    assert settings["SCHEDULER"] == scheduler
    assert settings.getpriority("CONCURRENT_ITEMS") == DEFAULT
    assert Checkpoint not in components(settings, "EXTENSIONS")
    assert FeedExporter in components(settings, "EXTENSIONS")


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ({}, True),
        ({"RESILIENCE_SCHEDULER_ENABLED": False}, False),
        ({"jobdir": None}, False),
    ],
    ids=str,
)
def test_a_jobdir_without_checkpoints(caplog, more, warned):
    """Who sets a JOBDIR and another scheduler is told that there are no checkpoints."""
    applied(FEEDS, SCHEDULER=MyScheduler, **more)

    assert ("makes no checkpoints" in caplog.text) is warned


def test_our_scheduler_by_the_users_hand_is_ours():
    """A project that names ResilientScheduler itself gets the whole."""
    settings = applied(
        SCHEDULER="scrapy_resilience.ResilientScheduler", RESILIENCE_SCHEDULER_ENABLED=False
    )

    assert Checkpoint in components(settings, "EXTENSIONS")


@pytest.mark.parametrize("value", [1, 50, 100])
def test_the_users_concurrent_items_stay(value):
    """A project's CONCURRENT_ITEMS is kept, whatever it is."""
    assert applied(CONCURRENT_ITEMS=value)["CONCURRENT_ITEMS"] == value


def test_concurrent_items_can_be_tuned():
    """RESILIENCE_CONCURRENT_ITEMS is the number that the add-on sets."""
    assert applied(RESILIENCE_CONCURRENT_ITEMS=3)["CONCURRENT_ITEMS"] == 3


@pytest.mark.parametrize("jobdir", ["job", None])
def test_the_handler_on_aiohttp(jobdir):
    """It downloads http and https, but for a scheme for which the user has a handler."""
    own = {"https": "mine.Handler", "ftp": None}
    plain = applied(jobdir=jobdir)
    some = applied(RESILIENCE_DOWNLOAD_HANDLER="aiohttp", jobdir=jobdir)
    other = applied(RESILIENCE_DOWNLOAD_HANDLER="aiohttp", DOWNLOAD_HANDLERS=own, jobdir=jobdir)

    assert plain.getdict("DOWNLOAD_HANDLERS") == {}
    assert {*some.getdict("DOWNLOAD_HANDLERS")} == {"http", "https"}
    assert other.getwithbase("DOWNLOAD_HANDLERS")["http"] is AiohttpDownloadHandler
    assert other.getdict("DOWNLOAD_HANDLERS").items() >= own.items()


def test_a_scrapy_without_a_handler_on_aiohttp(monkeypatch):
    """Its name is private: it is refused in words where it is gone."""
    monkeypatch.setattr(download_handlers, "_AIOHTTP", "scrapy.core.downloader.gone.Handler")

    error = refusal(RESILIENCE_DOWNLOAD_HANDLER="aiohttp")

    assert "RESILIENCE_DOWNLOAD_HANDLER" in error


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("EXTENSIONS", Checkpoint),
        ("SPIDER_MIDDLEWARES", StartMiddleware),
        ("DOWNLOADER_MIDDLEWARES", BarrierMiddleware),
        ("DOWNLOADER_MIDDLEWARES", DurableCookiesMiddleware),
    ],
)
@pytest.mark.parametrize("by_path", [True, False])
def test_a_component_that_the_user_took_out_stays_out(name, cls, by_path):
    """None for one of our components keeps it out."""
    key = f"{cls.__module__}.{cls.__qualname__}" if by_path else cls
    settings = applied(FEEDS, **{name: {key: None}})

    assert cls not in components(settings, name)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("EXTENSIONS", FeedExporter, ResilientFeedExporter),
        ("DOWNLOADER_MIDDLEWARES", CookiesMiddleware, DurableCookiesMiddleware),
    ],
)
@pytest.mark.parametrize("by_path", [True, False])
def test_what_the_user_took_out_of_scrapy_is_not_replaced(name, old, new, by_path):
    """None for Scrapy's own component means that there is none, not ours instead."""
    key = f"{old.__module__}.{old.__qualname__}" if by_path else old
    settings = applied(FEEDS, **{name: {key: None}})

    assert not {old, new} & set(components(settings, name))


def exporters(settings):
    """Return the enabled feed exporters, and their orders."""
    found = components(settings, "EXTENSIONS").items()
    return [(cls, order) for cls, order in found if issubclass(cls, FeedExporter)]


def test_the_users_own_feed_exporter_is_covered():
    """A project that put its own exporter in the place of Scrapy's has both in one."""
    own = {FeedExporter: None, f"{__name__}.MyFeedExporter": 7}
    ((cls, order),) = exporters(applied(FEEDS, EXTENSIONS=own))

    assert issubclass(cls, ResilientFeedExporter)
    assert issubclass(cls, MyFeedExporter)
    assert (cls.__name__, order) == ("MyFeedExporter", 7)


class Slots(MyFeedExporter):
    """Overrides what ours needs."""

    def item_scraped(self, item, spider):
        """Leave one out."""

    def _start_new_batch(self, *args, **kwargs):
        """Begin nothing."""


class OursToo(ResilientFeedExporter):
    """Is derived from ours."""


class OursInParts(ResilientFeedExporter):
    """Is derived from ours, and overrides a part of it."""

    def take(self, item):
        """Take nothing."""


@pytest.mark.parametrize(
    ("cls", "names"), [(Slots, "_start_new_batch, item_scraped"), (OursInParts, "take")]
)
def test_a_feed_exporter_that_can_not_be_covered_is_refused(cls, names):
    """It is named, with what it overrides and the way out."""
    text = refusal(FEEDS, EXTENSIONS={FeedExporter: None, cls: 0})

    assert f"{cls.__name__} overrides {names} of" in text
    assert "RESILIENCE_FEEDS_ENABLED=False" in text


def test_a_feed_exporter_that_is_not_to_be_covered_stays():
    """With the setting that the refusal names, it runs as in stock Scrapy."""
    own = {FeedExporter: None, Slots: 3}
    settings = applied(FEEDS, EXTENSIONS=own, RESILIENCE_FEEDS_ENABLED=False)

    assert exporters(settings) == [(Slots, 3)]


@pytest.mark.parametrize("cls", [ResilientFeedExporter, OursToo])
def test_ours_put_in_by_hand_stays(cls):
    """Ours, and what is derived from it, goes where the project puts it."""
    settings = applied(FEEDS, EXTENSIONS={FeedExporter: None, cls: 3})

    assert exporters(settings) == [(cls, 3)]


def test_ours_beside_scrapys():
    """Ours by hand takes the place of Scrapy's, also when nobody turned that off."""
    settings = applied(FEEDS, EXTENSIONS={ResilientFeedExporter: 3})

    assert exporters(settings) == [(ResilientFeedExporter, 3)]


def test_two_feed_exporters_are_refused():
    """Each would write all items: both are named."""
    text = refusal(FEEDS, EXTENSIONS={MyFeedExporter: 3})

    assert "MyFeedExporter" in text
    assert "FeedExporter would each write the feeds" in text


@pytest.mark.parametrize("order", [5, 900])
def test_an_order_of_the_users_is_kept(order):
    """Ours goes where the project had put Scrapy's, and stays where the project put ours."""
    settings = applied(
        FEEDS,
        DOWNLOADER_MIDDLEWARES={CookiesMiddleware: order, BarrierMiddleware: 7},
    )
    found = components(settings, "DOWNLOADER_MIDDLEWARES")

    assert found[DurableCookiesMiddleware] == order
    assert found[BarrierMiddleware] == 7


def test_spider_state_that_the_user_turned_on_stays_on():
    """A project that names SpiderState keeps it: ours gives it its state back."""
    assert SpiderState in components(applied(EXTENSIONS={SpiderState: 0}), "EXTENSIONS")


def test_other_components_of_the_user_stay():
    """What the project plugs in is not touched."""
    settings = applied(FEEDS, EXTENSIONS={LogStats: 3})

    assert components(settings, "EXTENSIONS")[LogStats] == 3


def test_a_file_is_no_folder_of_selectors(tmp_path):
    """It is refused before the crawl, not when a set is saved."""
    path = tmp_path / "shop.toml"
    path.touch()

    with pytest.raises(ConfigurationError, match=r"SELECTORS_DIR=.* is a file: use a folder"):
        applied({"RESILIENCE_SELECTORS_DIR": str(path)})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("RETRY_ENABLED", "perhaps", "True or False"),
        ("RETRY_TIMES", "often", "a whole number"),
        ("RETRY_PRIORITY_ADJUST", "low", "a whole number"),
        ("RETRY_HTTP_CODES", "5xx", "a list of statuses"),
        ("RETRY_HTTP_CODES", 503, "a list of statuses"),
        ("RETRY_EXCEPTIONS", "shop.Error", "a list of exceptions, or their import paths"),
        ("RETRY_EXCEPTIONS", [5], "a list of exceptions, or their import paths"),
    ],
)
def test_a_wrong_retry_setting_of_scrapy(name, value, wanted):
    """It is refused as ours are, before the job is open, and where there is none."""
    refusal = rf"^{name}={re.escape(repr(value))}: use {wanted}\.$"
    settings = Settings({name: value})

    with pytest.raises(ConfigurationError, match=refusal):
        check_values(settings, Config.from_settings(settings))
    with pytest.raises(ConfigurationError, match=refusal):
        ClassifiedRetryMiddleware.from_crawler(get_crawler(BooksSpider, {name: value}))


# --- JOBDIR ------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", ["project", "spider", "cmdline"])
def test_jobdir_may_name_the_spider(priority):
    """%(spider)s becomes the spider's name, at the priority that JOBDIR had."""
    crawler = Crawler(BooksSpider, Settings({"LOG_ENABLED": False}))
    crawler.settings.set("JOBDIR", "crawls/%(spider)s/x", priority)
    ResilienceAddon(crawler).update_settings(crawler.settings)

    assert crawler.settings["JOBDIR"] == "crawls/books/x"
    assert crawler.settings.getpriority("JOBDIR") == SETTINGS_PRIORITIES[priority]


@pytest.mark.parametrize("path", ["plain", "100%", "%s"])
def test_another_jobdir_stays_as_it_is(path):
    """Text without names in parentheses means nothing else."""
    assert applied(jobdir=path)["JOBDIR"] == path


def under_command(cls, settings=None):
    """The settings as the command *cls* would see them."""

    def execute(cmd, cmdname):  # noqa: ARG001 - as scrapy.cmdline calls it
        return applied(settings)

    return execute(cls(), cls.__module__.rsplit(".", 1)[-1])


@pytest.mark.parametrize("command", ["fetch", "shell", "parse", "check", "view", "bench"])
@pytest.mark.parametrize("own", [False, True], ids=["scrapy", "subclass"])
def test_other_commands_leave_the_job_alone(command, own):
    """Commands that only look at pages, and those made of them, get no part of the job."""
    cls = load_object(f"scrapy.commands.{command}.Command")
    if own:
        cls = type("Command", (cls,), {})

    settings = under_command(cls, FEEDS)

    assert not settings["JOBDIR"]
    assert settings["SCHEDULER"] == Settings()["SCHEDULER"]
    assert Checkpoint not in components(settings, "EXTENSIONS")


class CrawlAll(ScrapyCommand):
    def short_desc(self):
        return ""

    def run(self, args, opts):
        pass


@pytest.mark.parametrize(
    "command", ["scrapy.commands.crawl.Command", "scrapy.commands.runspider.Command", CrawlAll]
)
def test_commands_that_crawl_own_the_job(command):
    """crawl, runspider, commands of the user's own and scripts run the job."""
    settings = under_command(load_object(command))

    assert Checkpoint in components(settings, "EXTENSIONS")
    assert Checkpoint in components(applied(), "EXTENSIONS")


# --- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.ScrapyPriorityQueue"},
        {"SCHEDULER_DISK_QUEUE": f"{__name__}.MyScheduler"},
        {"SCHEDULER_START_DISK_QUEUE": f"{__name__}.MyScheduler"},
        {"DUPEFILTER_CLASS": f"{__name__}.MyDupeFilter"},
        {"DUPEFILTER_CLASS": f"{__name__}.InitFilter"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_can_not_be_honoured_is_refused(settings):
    """A setting that our scheduler can't honour is an error that names it and its value."""
    (name, value), *_ = settings.items()
    text = refusal(settings)

    assert name in text
    assert value in text


@pytest.mark.parametrize(
    "settings",
    [
        {"SCHEDULER_DISK_QUEUE": "scrapy.squeues.PickleFifoDiskQueue"},
        {"SCHEDULER_DISK_QUEUE": "scrapy.squeues.MarshalLifoDiskQueue"},
        {"SCHEDULER_START_DISK_QUEUE": None},
        {"DUPEFILTER_CLASS": BaseDupeFilter},
        {"DUPEFILTER_CLASS": "scrapy.dupefilters.RFPDupeFilter"},
        {"DUPEFILTER_CLASS": f"{__name__}.PathFilter"},
        {"SCHEDULER_MEMORY_QUEUE": f"{__name__}.MyScheduler"},
        {"SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.DownloaderAwarePriorityQueue"},
    ],
    ids=repr,
)
def test_what_can_be_honoured_is_taken(settings):
    """Orders of scrapy.squeues and Scrapy's own filters are taken, others not asked."""
    assert load_object(applied(settings)["SCHEDULER"]) is ResilientScheduler


def test_the_same_queue_by_its_class_is_taken():
    """A setting that names Scrapy's default by its class is Scrapy's default."""
    queue = load_object("scrapy.pqueues.DownloaderAwarePriorityQueue")

    assert applied(SCHEDULER_PRIORITY_QUEUE=queue)["SCHEDULER"] is ResilientScheduler


def test_without_jobdir_any_filter_will_do():
    """In memory a filter of the user's can't go out of step."""
    applied(jobdir=None, DUPEFILTER_CLASS=MyDupeFilter)


def test_with_another_scheduler_its_queues_are_its_own():
    """Settings of the user's scheduler are not ours to refuse."""
    applied(SCHEDULER=MyScheduler, DUPEFILTER_CLASS=MyDupeFilter)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BREAKER_DOMAIN", "nowhere.at_all"),
        ("BREAKER_DOMAINS", {"a.example": {"luck": 1}}),
        ("BREAKER_EXCEPTIONS", ["nowhere.Error"]),
        ("BREAKER_STATUSES", [5]),
        ("RATE_LIMITS", {"a.example": "often"}),
        ("RETRY_POLICY", "luck"),
        ("RETRY_POLICIES", {"mine": {"luck": 1}}),
        ("FAILURE_PATTERNS", {"transient": ["("]}),
        ("BODY_PATTERNS", {"luck": ["a"]}),
        ("FAILURE_HANDLERS", {"transient": "nowhere.at_all"}),
        ("INJECT", [{"luck": 1}]),
        ("INJECT", [{"exception": "nowhere.Error"}]),
        ("NORMALIZE", {"price": "prize"}),
        ("UNIQUE", "nowhere.at_all"),
        ("CONFIDENCE_WEIGHTS", {"luck": 1}),
    ],
)
def test_what_is_wrong_within_a_setting_is_found_before_there_is_a_job(name, value):
    """A finished job that begins anew is put aside by the time that a component is made."""
    settings = Settings({f"RESILIENCE_{name}": value})

    with pytest.raises(ConfigurationError, match=f"RESILIENCE_{name}"):
        check_values(settings, Config.from_settings(settings))


def test_a_wrong_setting_is_logged_in_one_line(caplog):
    """A bad RESILIENCE_ value stops the crawl with one line that names it."""
    with caplog.at_level(logging.ERROR):
        refusal(RESILIENCE_CHECKPOINT_INTERVAL="soon")

    (record,) = caplog.records
    assert "RESILIENCE_CHECKPOINT_INTERVAL='soon'" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("place", ["settings", "environment"])
@pytest.mark.parametrize(
    "name", ["RESILENCE_CHECKPOINT_INTERVAL", "RESILIANCE_CHECKPOINT_INTERVALL"]
)
def test_a_prefix_that_is_misspelled_is_a_warning(monkeypatch, caplog, place, name):
    """What is like a setting of ours but for its prefix is named, with what is meant."""
    if place == "environment":
        monkeypatch.setattr("scrapy_resilience.addon.os.environ", {name: "1"})
    applied({name: 1} if place == "settings" else None)

    wanted = f"{name} is not a setting. Did you mean RESILIENCE_CHECKPOINT_INTERVAL?"
    assert [record.getMessage() for record in caplog.records] == [wanted]


@pytest.mark.parametrize("name", ["RESILIENT_USERS", "RES", "CHECKPOINT_INTERVAL", "RETRY_X"])
def test_settings_of_others_are_theirs(caplog, name):
    """Nothing is said of names that are only a little like ours."""
    applied({name: 1})

    assert not caplog.records


def test_an_unknown_environment_variable_is_a_warning(monkeypatch, caplog):
    """A RESILIENCE_ variable that is not a setting is named in the log, and the crawl runs."""
    monkeypatch.setattr(
        "scrapy_resilience.settings_sources.os.environ", {"RESILIENCE_FOO": "1"}
    )
    applied()

    assert "RESILIENCE_FOO" in caplog.text


# --- pipelines ---------------------------------------------------------------------------

NORMALIZE = {NormalizePipeline: 100}
BOTH = {NormalizePipeline: 100, ConfidencePipeline: 900}
FILTER = {"a.jsonl": {"item_filter": "scrapy_resilience.pipelines.confidence.TrustedItems"}}


class OwnFilter(DoubtfulItems):
    """A filter that a user has made of ours."""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, NORMALIZE),
        ({"FEEDS": {"a.jsonl": {}}}, NORMALIZE),
        ({"RESILIENCE_CONFIDENCE_MINIMUM": 0.5}, NORMALIZE),
        ({"RESILIENCE_CONFIDENCE_FIELD": "confidence"}, BOTH),
        ({"RESILIENCE_CONFIDENCE_ACTION": "drop"}, BOTH),
        ({"RESILIENCE_CONFIDENCE_WEIGHTS": {"speed": 0}}, BOTH),
        ({"FEEDS": FILTER}, BOTH),
        ({"FEEDS": {"a.jsonl": {"item_filter": OwnFilter}}}, BOTH),
        ({"FEEDS": {"a.jsonl": {"item_filter": ItemFilter}}}, NORMALIZE),
        ({"ITEM_PIPELINES": {NormalizePipeline: None}}, {}),
        ({"ITEM_PIPELINES": {NormalizePipeline: 5}}, {NormalizePipeline: 5}),
    ],
    ids=str,
)
@pytest.mark.parametrize("scheduler", [None, MyScheduler])
def test_pipelines(settings, expected, scheduler):
    """Items are weighed where something comes of it; the user's orders stay."""
    more = {"SCHEDULER": scheduler} if scheduler else {}
    assert components(applied(settings, **more), "ITEM_PIPELINES") == expected


def test_our_pipelines_do_not_wait():
    """CONCURRENT_ITEMS is lowered with them too."""
    assert applied(RESILIENCE_CONFIDENCE_FIELD="c")["CONCURRENT_ITEMS"] == 1


# --- uvloop ------------------------------------------------------------------------------


def pre_crawler(monkeypatch, *, command="crawl", installed=True, **settings):
    """Return ASYNCIO_EVENT_LOOP after the hook that runs before the crawler is made."""
    monkeypatch.setattr(addon_module, "running_command", lambda: command)
    monkeypatch.setattr(addon_module, "_has_uvloop", lambda: installed)
    found = Settings(settings)
    ResilienceAddon.update_pre_crawler_settings(found)
    return found["ASYNCIO_EVENT_LOOP"]


@pytest.mark.parametrize("command", ["crawl", "runspider"])
def test_uvloop_is_used_by_commands_that_crawl(monkeypatch, command):
    """Crawl and runspider run on uvloop where it is installed."""
    assert pre_crawler(monkeypatch, command=command) == "uvloop.Loop"


@pytest.mark.parametrize(
    "case",
    [
        {"command": None},
        {"command": "shell"},
        {"installed": False},
        {"RESILIENCE_UVLOOP_ENABLED": False},
        {"RESILIENCE_UVLOOP_ENABLED": "0"},
        {"RESILIENCE_UVLOOP_ENABLED": "False"},
        {"RESILIENCE_ENABLED": False},
        {"RESILIENCE_UVLOOP_ENABLED": "no"},
        {"RESILIENCE_CHECKPOINT_INTERVAL": "soon"},
    ],
    ids=repr,
)
def test_uvloop_is_left_out(monkeypatch, case):
    """Scripts, other commands, the switches and a wrong setting leave the loop alone."""
    assert pre_crawler(monkeypatch, **case) is None


def test_the_users_loop_stays(monkeypatch):
    """A project's event loop is kept."""
    assert pre_crawler(monkeypatch, ASYNCIO_EVENT_LOOP="my.Loop") == "my.Loop"


def test_the_http_cache_survives_kills():
    """With a JOBDIR the cache writes whole entries; a storage of the user stays."""
    name = "HTTPCACHE_STORAGE"
    assert load_object(applied()[name]).__name__ == "AtomicCacheStorage"
    mine = "scrapy.extensions.httpcache.DbmCacheStorage"
    assert applied({name: mine})[name] == mine
    assert load_object(applied(jobdir=None)[name]).__name__ == "FilesystemCacheStorage"


# --- retries -------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"RESILIENCE_SCHEDULER_ENABLED": False, "jobdir": None}])
def test_retries_are_replaced_with_any_scheduler(more):
    """ClassifiedRetryMiddleware is in the place of Scrapy's, at its order."""
    found = components(applied(**more), "DOWNLOADER_MIDDLEWARES")

    assert found[ClassifiedRetryMiddleware] == 550
    assert RetryMiddleware not in found
    assert FailureInjectionMiddleware not in found


def test_retries_of_the_user_stay():
    """RESILIENCE_RETRY_ENABLED=False leaves Scrapy's, and None of the user leaves none."""
    off = components(applied(RESILIENCE_RETRY_ENABLED=False), "DOWNLOADER_MIDDLEWARES")
    none = components(
        applied(DOWNLOADER_MIDDLEWARES={RetryMiddleware: None}), "DOWNLOADER_MIDDLEWARES"
    )

    assert (off[RetryMiddleware], ClassifiedRetryMiddleware in off) == (550, False)
    assert not {RetryMiddleware, ClassifiedRetryMiddleware} & set(none)


def test_injection_is_plugged_in_where_there_are_rules():
    """RESILIENCE_INJECT puts the middleware next to the downloader."""
    settings = applied(RESILIENCE_INJECT=[{"status": 503}])

    assert components(settings, "DOWNLOADER_MIDDLEWARES")[FailureInjectionMiddleware] == 1000


@pytest.mark.parametrize("path", _MOSTLY_EMPTY.values())
def test_what_reads_a_setting_that_is_mostly_empty(path):
    """It is imported by name, for those only who use it: the name must be right."""
    assert callable(load_object(f"scrapy_resilience.{path}"))
