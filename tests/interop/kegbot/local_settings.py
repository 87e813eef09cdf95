"""What a Kegbot server asks of its site: SQLite, nothing cached, no workers beside it. For Python 2.7."""

import os

HERE = os.environ["KEGBOT_SETTINGS_DIR"]
DEBUG = False
TEMPLATE_DEBUG = False
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(HERE, "kegbot.db")}}
KEGBOT_ROOT = HERE
MEDIA_ROOT = os.path.join(HERE, "media")
STATIC_ROOT = os.path.join(HERE, "static")
SECRET_KEY = "no secret"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
CELERY_ALWAYS_EAGER = True
KEGBOT_PLUGINS = []
LOGGING = {"version": 1, "disable_existing_loggers": False}
