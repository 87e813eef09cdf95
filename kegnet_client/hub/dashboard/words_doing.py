"""The texts of what a person does: calibrating, saying what a pour was, setting up, letting others in. Pure.

Each in English and in German, as in `kegnet_client.hub.dashboard.words`.
"""

from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, str]] = {
    "may_not": ("Your token may not do this.", "Ihr Token darf das nicht."),
    "changed_meanwhile": (
        "Somebody else has changed it meanwhile: look again.",
        "Jemand anderes hat es inzwischen geändert: bitte noch einmal ansehen.",
    ),
    "said_by": ("{who}, {when}", "{who}, {when}"),
    "undo": ("Undo", "Rückgängig"),
    "calibrate": ("Calibrate", "Kalibrieren"),
    "calibrate_what": ("Calibrate a meter by a measured pour", "Einen Zähler durch eine Messung kalibrieren"),
    "meter_at": ("Meter at tap", "Zähler am Zapfhahn"),
    "no_meters": ("No tap has a meter yet.", "Noch kein Zapfhahn hat einen Zähler."),
    "jug_pour": ("1. Pour into a jug", "1. In einen Messbecher zapfen"),
    "jug_start": ("Start", "Beginnen"),
    "jug_again": ("Start again", "Neu beginnen"),
    "jug_hint": (
        "Pour at least half a litre, in one go; the more, the better the figure.",
        "Mindestens einen halben Liter in einem Zug zapfen; je mehr, desto genauer.",
    ),
    "jug_waiting": ("Waiting for the pour...", "Warten auf das Gezapfte ..."),
    "jug_count": (
        "{when} · {pulses} pulses · {volume} by the figure of now",
        "{when} · {pulses} Impulse · bisher {volume}",
    ),
    "jug_says": ("2. What the jug says", "2. Was der Messbecher zeigt"),
    "by_volume": ("Volume", "Menge"),
    "by_weight": ("Weight", "Gewicht"),
    "jug_ml": ("In the jug (ml)", "Im Messbecher (ml)"),
    "jug_oz": ("In the jug (oz)", "Im Messbecher (oz)"),
    "jug_grams": ("Weight without the jug (g)", "Gewicht ohne Gefäß (g)"),
    "gravity": ("Specific gravity", "Relative Dichte"),
    "new_figure": ("3. The new figure", "3. Der neue Wert"),
    "figure": ("{ml} ml a pulse ({pulses} pulses a ml)", "{ml} ml je Impuls ({pulses} Impulse je ml)"),
    "figure_now": ("Now: {figure}", "Jetzt: {figure}"),
    "figure_none": ("Now: not known", "Jetzt: nicht bekannt"),
    "figure_new": ("New: {figure}, {change}", "Neu: {figure}, {change}"),
    "figure_far": (
        "That is far from the figure of now: is it all of the pour, and no other?",
        "Das ist weit vom jetzigen Wert: War es alles und sonst nichts?",
    ),
    "holds_from": ("It holds", "Er gilt"),
    "from_pour": ("from this pour on", "ab dieser Messung"),
    "from_date": ("from a date on", "ab einem Zeitpunkt"),
    "the_date": ("From", "Ab"),
    "before": ("Before", "Vorher"),
    "after": ("After", "Nachher"),
    "poured_from": ("Poured from", "Gezapft aus"),
    "no_change": ("No past pour changes.", "An Gezapftem ändert sich nichts."),
    "last_pours": ("The last pours", "Zuletzt gezapft"),
    "accept": ("Accept", "Übernehmen"),
    "calibrations": ("Calibrations of this meter", "Kalibrierungen dieses Zählers"),
    "no_calibrations": ("It was never calibrated.", "Noch nie kalibriert."),
    "calibration": ("{figure} from {when}", "{figure} ab {when}"),
    "from_always": ("the beginning", "Anfang an"),
    "of_measured": ("measured: {what} for {pulses} pulses", "gemessen: {what} für {pulses} Impulse"),
    "taken_back": ("taken back", "zurückgenommen"),
    "take_back": ("Take back", "Zurücknehmen"),
    "hold_again": ("Let it hold again", "Wieder gelten lassen"),
}
