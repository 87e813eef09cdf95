"""Makes a Kegbot site with a board, two taps and a keg on each, and prints an API key. For Python 2.7."""

import django

django.setup()

from django.core import management
from pykeg.backend import get_kegbot_backend
from pykeg.core import defaults, models
from pykeg.core.util import get_version

management.call_command("migrate", interactive=False, verbosity=0)
site = defaults.set_defaults(set_is_setup=True, create_controller=True)
site.server_version = get_version()
site.save()
backend = get_kegbot_backend()
for tap in models.KegTap.objects.all():
    backend.start_keg(tap, beverage_name="Beer", beverage_type="beer", producer_name="Brewer", style_name="Lager")
admin = models.User.objects.create_superuser("admin", "admin@example.com", "no secret")
print(models.ApiKey.objects.create(user=admin, description="test").key)
