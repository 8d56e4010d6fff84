"""Django's settings, made from the operator's `config.environment`; nothing here is set by hand."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit

from tokenpool.config import addresses, database, environment
from tokenpool.pricing import load

ENVIRONMENT = environment.read()
load.use(ENVIRONMENT.folder / "prices")
load.standard()  # a mistake in a price file stops the start with its line

DEBUG = False
SECRET_KEY = ENVIRONMENT.secret_key or secrets.token_urlsafe(48)  # a start without a data folder signs for itself
ALLOWED_HOSTS = [urlsplit(ENVIRONMENT.public_url).hostname or "", *addresses.LOOPBACK, "[::1]"]  # mail carries links
PUBLIC_URL = ENVIRONMENT.public_url
CSRF_TRUSTED_ORIGINS = [ENVIRONMENT.public_url]
DEMO = ENVIRONMENT.demo == "yes"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tokenpool.console",  # before allauth: its templates stand in for allauth's
    "django_htmx",
    "allauth",
    "allauth.account",
    "ninja",
    "tokenpool.audit",
    "tokenpool.organizations",
    "tokenpool.metering",
    "tokenpool.limits",
    "tokenpool.notifications",
    "tokenpool.invoicing",
]
MIDDLEWARE = [
    "tokenpool.api.envelope.Envelope",
    "tokenpool.config.text.NoNul",
    "django.middleware.security.SecurityMiddleware",
    "tokenpool.console.headers.SecurityHeaders",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tokenpool.console.language.PersonsLanguage",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "tokenpool.config.urls"
ASGI_APPLICATION = "tokenpool.config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASES = {"default": database.django_settings(ENVIRONMENT)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "organizations.Person"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "tokenpool.console.sign_in.Adapter"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # nobody makes this server write to strangers
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Tokenpool] "
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.public_url.startswith("https://")
SECURE_HSTS_SECONDS = 365 * 86_400 if addresses.owns_its_host(PUBLIC_URL) else 0
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("it", "Italiano")]
LOCALE_PATHS = [Path(__file__).parent.parent / "console" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
MAIL_FOLDER = ENVIRONMENT.folder / "mail"
DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENVIRONMENT.mail_from
ADMINS = [("Operator", ENVIRONMENT.operator_email)] if ENVIRONMENT.operator_email else []
EMAIL_SUBJECT_PREFIX = "[Tokenpool] "
if ENVIRONMENT.smtp_host:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST = ENVIRONMENT.smtp_host
    EMAIL_PORT = int(ENVIRONMENT.smtp_port)
    EMAIL_HOST_USER = ENVIRONMENT.smtp_user
    EMAIL_HOST_PASSWORD = ENVIRONMENT.smtp_password
    EMAIL_USE_TLS = ENVIRONMENT.smtp_tls == "yes"
    EMAIL_TIMEOUT = 20
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(MAIL_FOLDER)

LOGGING_CONFIG = "tokenpool.config.logs.configure"
LOGGING = {"version": 1}
