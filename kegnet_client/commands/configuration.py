"""The configuration that a command line names, by ``--root`` and ``--config``."""

import argparse
import os
from pathlib import Path

from kegnet_client import config
from kegnet_client.config import Config, find_root


def root(options: argparse.Namespace) -> Path:
    """The device's root."""
    return find_root(options.root, os.environ)


def load(options: argparse.Namespace) -> Config:
    """The device's configuration. Raises `ConfigError`."""
    return config.load(root(options), options.config)
