"""The texts of what is set up for good: filters, taps, limits, controllers. Pure.

Each in English and in German, as in `kegnet_client.hub.dashboard.words`.
"""

from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, str]] = {
    "all_taps": ("All taps", "Alle Zapfhähne"),
    "all_kegs": ("All kegs", "Alle Fässer"),
    "from_day": ("From", "Von"),
    "to_day": ("Until", "Bis"),
    "as_csv": ("CSV", "CSV"),
    "csv_cut": (
        "Only the newest {count} are in the file: choose fewer days for the others.",
        "In der Datei sind nur die neuesten {count}: für die anderen bitte weniger Tage wählen.",
    ),
    "no_pours": ("No such pours.", "Nichts dergleichen gezapft."),
    "theme": ("Light or dark", "Hell oder dunkel"),
    "theme_auto": ("As the device is set", "Wie das Gerät eingestellt ist"),
    "theme_light": ("Light", "Hell"),
    "theme_dark": ("Dark", "Dunkel"),
    "change": ("Change", "Ändern"),
    "change_of": ("Change {of}", "{of} ändern"),
    "no_meter": ("no meter", "kein Zähler"),
    "meter_since": ("This meter counts here", "Dieser Zähler zählt hier"),
    "since_now": ("from now on", "ab jetzt"),
    "since_always": ("and always did: it was typed wrongly", "schon immer: es war falsch eingetragen"),
    "tap_gone": ("This tap is gone", "Diesen Zapfhahn gibt es nicht mehr"),
    "limits": ("Limits", "Grenzwerte"),
    "limits_hint": (
        "An alarm is raised beyond these. An empty field is as usual; a switch that is off raises none.",
        "Darüber hinaus gibt es einen Alarm. Ein leeres Feld ist wie üblich; ein Schalter, der aus ist, löst nie aus.",
    ),
    "limits_of": ("Of what", "Wofür"),
    "limits_of_all": ("everything", "alles"),
    "limits_of_keg": ("keg {of}", "Fass {of}"),
    "limits_of_meter": ("meter {of}", "Zähler {of}"),
    "raise_alarm": ("Alarm: {what}", "Alarm: {what}"),
    "off_profile_millidegrees": ("Off its profile by (°{unit})", "Abweichung vom Profil (°{unit})"),
    "lowest_millidegrees": ("Colder than (°{unit})", "Kälter als (°{unit})"),
    "highest_millidegrees": ("Warmer than (°{unit})", "Wärmer als (°{unit})"),
    "off_for_ms": ("Too warm or cold for (min)", "Zu warm oder zu kalt seit (min)"),
    "sensor_silent_ms": ("Thermometer silent for (min)", "Thermometer stumm seit (min)"),
    "device_silent_ms": ("Device silent for (min)", "Gerät stumm seit (min)"),
    "keg_below_percent": ("Keg below (%)", "Fass unter (%)"),
    "longest_pour_ms": ("A pour longer than (min)", "Gezapft länger als (min)"),
    "fastest_pour_nl_per_s": ("A pour faster than ({unit}/s)", "Gezapft schneller als ({unit}/s)"),
    "drips_nl_per_hour": ("Drips of more than ({unit}/h)", "Tropft mehr als ({unit}/h)"),
    "refused_per_hour": ("Records refused in an hour", "Abgelehnte Datensätze je Stunde"),
    "notifications": ("Notifications", "Benachrichtigungen"),
    "notified": (
        "{count} addresses are told of alarms. They stand in hub.conf, at [notify] urls, with their passwords.",
        "{count} Adressen erfahren von Alarmen. Sie stehen mit ihren Passwörtern in hub.conf, bei [notify] urls.",
    ),
    "notified_nobody": (
        "Alarms are shown here, and nobody is told of them. Put addresses (mail, ntfy, Telegram and many more) into "
        "hub.conf, at [notify] urls, and restart the hub.",
        "Alarme stehen hier, und niemand sonst erfährt davon. Adressen (E-Mail, ntfy, Telegram und viele mehr) gehören "
        "in hub.conf, bei [notify] urls; danach den Hub neu starten.",
    ),
    "try_notified": ("Try it with two simulated alarms", "Mit zwei simulierten Alarmen ausprobieren"),
    "controllers": ("Temperature controllers", "Temperaturregler"),
    "no_controllers": ("None yet.", "Noch keine."),
    "new_controller": ("Another controller", "Weiterer Regler"),
    "controller_address": ("Address (host)", "Adresse (Rechner)"),
    "controller_port": ("Port", "Port"),
    "controller_socket": ("or socket on this machine", "oder Socket auf diesem Rechner"),
    "controller_chambers": ("Chambers, one a line", "Kammern, je Zeile eine"),
    "controller_gone": ("This controller is gone", "Diesen Regler gibt es nicht mehr"),
}
