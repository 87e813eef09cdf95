"""What a database for programs has: who may write what, the filter of the feed, and a user for each device.

It is made by an administrator. None of it is what devices trust: the signature is. It keeps devices from writing over
each other, and each feed to what is for its device.
"""

import re
from typing import Any
from urllib.parse import quote

from kegnet_client.core.errors import ServerRefusalError, TransportError, UsageError
from kegnet_client.runner.couch import Couch

DEVICE_ROLE = "kegnet_device"
OPERATOR_ROLE = "kegnet_operator"
_DATABASE = re.compile(r"[a-z][a-z0-9_$()+/-]*")

# All programs and commands, whoever they are for: a device has to see that one is not for it any more, and that one is
# none any more. What devices write themselves has such names, and wakes no other device.
_PROGRAMS = """\
function (doc, req) {
  if (doc._deleted || "code" in doc || "modules" in doc || "global_modules" in doc || "cmd" in doc) { return true; }
  return !/^[0-9]+_(heartbeat|log(_[0-9]+)?)$|_ret_[0-9]+$/.test(doc._id);
}
"""

_VALIDATE = """\
function (doc, old, user) {
  var roles = user.roles || [];
  if (roles.indexOf("_admin") >= 0) { return; }
  if (doc._id.indexOf("_design/") === 0) { throw({forbidden: "only an administrator changes designs"}); }
  if (roles.indexOf("kegnet_operator") >= 0) { return; }
  if (roles.indexOf("kegnet_device") < 0) { throw({forbidden: "takes the role kegnet_operator or kegnet_device"}); }
  function isMine(test) { return [user.name].concat(roles).filter(isDevice).some(test); }
  function isDevice(name) { return /^([0-9]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.test(name); }
  if (isMine(function (name) {
    var answer = "_ret_" + name;
    return doc._id.indexOf(name + "_") === 0 || doc._id.slice(-answer.length) === answer;
  })) { return; }
  function rest(one) {
    var names = Object.keys(one).filter(function (name) { return name.charAt(0) !== "_" && name !== "ret"; }).sort();
    return JSON.stringify(names.map(function (name) { return [name, one[name]]; }));
  }
  if (old && !doc._deleted && rest(old) === rest(doc) && isMine(function (name) {
    return String(old.type).toLowerCase() === name + "_cmd";
  })) { return; }
  throw({forbidden: "a device writes its own documents, and ret of its commands"});
}
"""

DESIGN: dict[str, Any] = {
    "_id": "_design/kegnet",
    "language": "javascript",
    "filters": {"programs": _PROGRAMS},
    "validate_doc_update": _VALIDATE,
}
_SECURITY = {"members": {"names": [], "roles": [DEVICE_ROLE, OPERATOR_ROLE]}, "admins": {"names": [], "roles": []}}


def make_database(couch: Couch) -> None:
    """Make the database, or bring one that is there to this. Raises `TransportError`, `ServerRefusalError`."""
    if not _DATABASE.fullmatch(couch.database):
        raise UsageError(f"{couch.database!a} is no name of a database: small letters, digits, _ $ ( ) + - and /")
    where = f"/{quote(couch.database, safe='')}"
    status, answer = couch.ask("PUT", where)
    if status not in (201, 202, 412):  # 412: it is there
        raise TransportError(f"{couch.url}: the database could not be made ({status}): {str(answer)[:200]!a}")
    couch.update("_design/kegnet", lambda old: {**old, **DESIGN})
    status, answer = couch.ask("PUT", f"{where}/_security", _SECURITY)
    if status != 200:
        raise TransportError(f"{couch.url}: the database's users could not be limited ({status})")


def make_user(couch: Couch, user: str, password: str, *roles: str) -> None:
    """Make a user of the server, or give one that is there this password and these roles.

    Those of a device are `DEVICE_ROLE` and all that documents may call it, whatever its user is called.
    """
    users = couch.beside("_users")
    name = f"org.couchdb.user:{user}"
    body = {"_id": name, "name": user, "type": "user", "roles": list(roles), "password": password}
    try:
        users.update(name, lambda old: {**old, **body})
    except ServerRefusalError as error:
        raise ServerRefusalError(f"{error}: making users takes an administrator") from None
