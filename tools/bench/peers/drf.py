"""djangorestframework-api-key under gunicorn, on PostgreSQL: creates keys, writes them to a file, and verifies them.

    DATABASE=… SECRETS=… KEYS=… python drf.py          creates tables and keys
    DATABASE=… gunicorn --workers 2 drf:application    verifies
"""

import os
from urllib.parse import urlparse

import django
from django.conf import settings

database = urlparse(os.environ["DATABASE"])
settings.configure(
    SECRET_KEY="for a benchmark on loopback, and nothing else",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework", "rest_framework_api_key"],
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database.path[1:],
            "USER": database.username,
            "HOST": database.hostname,
            "PORT": database.port,
            "CONN_MAX_AGE": None,
        }
    },
    USE_TZ=True,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402
from rest_framework_api_key.models import APIKey  # noqa: E402
from rest_framework_api_key.permissions import HasAPIKey, KeyParser  # noqa: E402


class Bearer(KeyParser):
    keyword = "Bearer"


class HasBearer(HasAPIKey):
    key_parser = Bearer()


class Verify(APIView):
    permission_classes = [HasBearer]

    def get(self, request):
        return Response(status=204, headers={"Cache-Control": "no-store"})


urlpatterns = [path("verify", Verify.as_view())]

if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    keys = [APIKey.objects.create_key(name=f"Service {n}")[1] for n in range(int(os.environ["KEYS"]))]
    with open(os.environ["SECRETS"], "w") as file:
        file.write("\n".join(keys))
else:
    application = get_wsgi_application()
