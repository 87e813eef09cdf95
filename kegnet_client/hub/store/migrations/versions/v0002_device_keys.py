"""Which device had which key.

The keys that each device has are known. Those that it had before follow from its own records alone, so that they are
marked as inferred. What is damaged is left out: it is for `hub verify` to say so.
"""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, String

revision = "0002"
down_revision = "0001"

_KNOWN = """
    INSERT INTO device_keys (device, key, since_ms, inferred)
    SELECT uuid, key, added_ms, false FROM devices
    UNION SELECT uuid, next_key, added_ms, false FROM devices WHERE next_key IS NOT NULL
"""
_INFERRED = """
    INSERT INTO device_keys (device, key, since_ms, inferred)
    SELECT found.device, found.key, MIN(found.received_ms), true
    FROM (
        SELECT device, key, MIN(received_ms) AS received_ms FROM requests GROUP BY device, key
        UNION ALL SELECT device, key, MIN(received_ms) FROM pours GROUP BY device, key
        UNION ALL SELECT device, key, MIN(received_ms) FROM temperatures GROUP BY device, key
        UNION ALL SELECT device, key, MIN(received_ms) FROM heartbeats GROUP BY device, key
    ) AS found
    JOIN devices ON devices.uuid = found.device
    JOIN keys ON keys.fingerprint = found.key
    WHERE NOT EXISTS (SELECT 1 FROM device_keys WHERE device = found.device AND key = found.key)
    GROUP BY found.device, found.key
"""


def upgrade() -> None:
    """Make the table, and fill it from what there is."""
    op.create_table(
        "device_keys",
        Column("device", String(36), ForeignKey("devices.uuid"), primary_key=True),
        Column("key", String(64), ForeignKey("keys.fingerprint"), primary_key=True),
        Column("since_ms", BigInteger, nullable=False),
        Column("inferred", Boolean, nullable=False),
    )
    op.execute(_KNOWN)
    op.execute(_INFERRED)
