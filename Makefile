# make demo, make check and make test set up all that they need: system packages (through apt) and virtual environments.

PYTHON ?= python3
OTHER_PYTHONS = 3.12 3.13

# A machine image may ask for it. Without compiled files every process of every stage rewrites the asserts of all tests
# anew, for half a minute of processor time a stage on two cores, and every program compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE

SOURCES = $(shell find kegnet_client -name '*.py') setup.cfg pyproject.toml README.md
RUN_PACKAGES = python3-venv python3-dev gcc libc6-dev pkg-config libsystemd-dev
TEST_PACKAGES = nginx-light openssl strace curl util-linux shellcheck faketime iproute2 e2fsprogs postgresql prometheus mosquitto redis-server chromium bubblewrap openssh-client zsh fish
# Only root can boot the machine that the service and the Debian package are tested on.
IS_ROOT = $(filter 0,$(shell id -u))
SYSTEM_PACKAGES = $(if $(IS_ROOT),systemd-container rsyslog dbus)
# From npm: somebody else's HTTP Message Signatures, what finds pages hard to use, a server of CouchDB's protocol.
NODE_PACKAGES = http-message-signatures@1.0.6 axe-core@4.14.1 pouchdb-server@4.2.0
DEB_PACKAGES = $(RUN_PACKAGES) build-essential debhelper dpkg-dev lintian

# Installs those of the packages $(1) that are missing; a machine without apt is told what it takes.
define install_packages
	@missing=; for package in $(1); do \
	    dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	    command -v apt-get >/dev/null || { echo "Please install what Debian calls:$$missing" >&2; exit 1; }; \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	    echo "Installing$$missing"; \
	    $$sudo apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -qq -y --no-install-recommends $$missing; \
	fi
endef

.PHONY: demo check test installs pythons faults bench bench-quick lint deb debs clean

demo: .venv/demo
	.venv/bin/kegnet-client demo

.venv/demo: $(SOURCES)
	$(call install_packages,$(RUN_PACKAGES))
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q --upgrade pip
	rm -rf build
	.venv/bin/pip install -q '.[hub,dashboard]'
	touch $@

# Half of a test's time is waiting for a process to start. A worker begins with neighbours, which share what a module or a
# session starts once.
WORKERS = $(shell echo $$((2 * $$(nproc))))
PARALLEL = -n $(WORKERS) --dist worksteal
# Directories of which every test starts whole programs: they are not even read where none of those is wanted.
PROGRAMS = bench browser end_to_end faults gpio interop processes system torture
FAST = -m 'not (process or system or alone or slow or wheel)' $(PROGRAMS:%=--ignore tests/%)
WHOLE = (process or wheel) and not (system or alone or slow)

# Of most of these tests each starts a hub of its own, which takes half of the time of all fast tests.
OWN_HUBS = enrolment hub/bridge hub/ledger hub/outlets hub/test_serve.py hub/test_websocket.py

# Most of what a test writes is synced, which on a disk is half of the time that it takes: where they can, the inner loop and
# the tests with other Pythons write to memory, and all the rest to the disk. The inner loop keeps only what failed there.
IN_MEMORY = $(if $(wildcard /dev/shm/.),TMPDIR=/dev/shm)
# Beside a booted machine, which takes its share: with more workers whole programs come too late.
FEWER = -n $(shell echo $$((1 + $$(nproc)))) --dist worksteal

# The inner loop: the working tree as it is, in about a minute on two cores.
check: test-packages .venv-test/editable
	.venv-test/bin/python -m ruff check
	.venv-test/bin/python -m ruff format --check
	.venv-test/bin/python -m mypy
	$(IN_MEMORY) .venv-test/bin/python -m pytest -q $(PARALLEL) $(FAST) \
	    $(OWN_HUBS:%=--ignore tests/%) --hypothesis-profile quick -o tmp_path_retention_policy=failed

dist/stamp: $(SOURCES) | .venv-test/editable
	rm -rf build dist
	.venv-test/bin/python -m build -q --wheel
	touch $@

# All the rest tests the wheel: it is in an environment of its own, and PYTHONSAFEPATH keeps the directory that make
# runs in from being imported instead.
IN_WHEEL = PYTHONSAFEPATH=1 .venv-wheel/bin/python

# How much of the package the fast tests run in their own process, and the programs that go from end to end in theirs, in
# percent of lines and branches.
COVERED = 90

test: test-packages .venv-wheel/stamp node-packages
	$(MAKE) -s -j 2 --output-sync lint $(if $(IS_ROOT),deb) test-core
	$(IN_WHEEL) -m coverage run -m pytest -q $(PARALLEL) $(FAST) --ignore tests/core
	$(IN_WHEEL) -m coverage combine -q --append
	KEGNET_COVER_PROGRAMS=1 $(IN_WHEEL) -m coverage run -m pytest -q $(PARALLEL) -m '$(WHOLE)' tests/end_to_end
	$(IN_WHEEL) -m coverage combine -q --append
	$(IN_WHEEL) -m coverage report --skip-covered --fail-under $(COVERED)
	$(IN_WHEEL) -m pytest -q -m 'alone and not (system or slow)'
	$(MAKE) -s -j 2 --output-sync test-system test-programs

.PHONY: test-core test-system test-programs
test-core:
	$(IN_WHEEL) -m coverage erase
	$(IN_WHEEL) -m coverage run -m pytest -q tests/core
	$(IN_WHEEL) -m coverage combine -q
	$(IN_WHEEL) -m coverage report --include '*/kegnet_client/core/*' --show-missing --fail-under 100

# What an installation, an upgrade and a removal leave, each on a machine that is booted: of all that boots one, half of the time.
INSTALLS = $(wildcard tests/system/test_debian_package.py tests/system/test_upgrade*.py)

# What boots a machine waits for it most of the time, so what starts programs runs beside it.
test-system:
	$(IN_WHEEL) -m pytest -q -m 'not slow' $(filter-out $(INSTALLS),$(wildcard tests/system/test_*.py))

installs: test-packages .venv-wheel/stamp
	$(if $(IS_ROOT),$(MAKE) -s deb)
	$(IN_WHEEL) -m pytest -q -m 'not slow' $(INSTALLS)

test-programs:
	$(IN_WHEEL) -m pytest -q $(FEWER) -m '$(WHOLE)' --ignore tests/end_to_end

# The fast tests with every other supported Python that is here.
pythons: test-packages .venv-wheel/stamp $(OTHER_PYTHONS:%=test-%)

# What goes wrong, and whether the program keeps its promise then: a table, of the quick and the slow tests. And what
# else takes its time.
faults: test-packages .venv-wheel/stamp kegbot-server
	$(if $(IS_ROOT),$(MAKE) -s deb)
	$(IN_WHEEL) -m pytest -q -m 'case or slow' --faults-table tests/faults tests/core tests/commands tests/system tests/enrolment tests/hub tests/browser tests/producers tests/host tests/sinks tests/processes tests/runner tests/spool tests/delivery tests/torture tests/interop tests/end_to_end

# Puts the wheel into the environment $(1), which Python $(2) makes.
define install_wheel
	[ -x $(1)/bin/pip ] || $(2) -m venv $(1); \
	$(1)/bin/pip install -q --upgrade pip; \
	wheel=$$(ls dist/*.whl); \
	$(1)/bin/pip install -q "$$wheel[hub,dashboard,gpio,kegboard,mqtt,notify,postgresql,redis,runner,test]"; \
	$(1)/bin/pip install -q --force-reinstall --no-deps $$wheel
endef

.venv-wheel/stamp: dist/stamp
	@set -e; $(call install_wheel,.venv-wheel,$(PYTHON))
	touch $@

# Another Python, where there is one: on the path or among pyenv's. It tests the same wheel.
test-3.%: .venv-wheel/stamp
	@python=; \
	for candidate in python3.$* $$HOME/.pyenv/versions/3.$*.*/bin/python; do \
	    if $$candidate -c '' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.$* is not here: its tests are left out"; exit 0; fi; \
	set -e; \
	$(call install_wheel,.venv-3.$*,$$python); \
	echo "Python 3.$*"; \
	$(IN_MEMORY) PYTHONSAFEPATH=1 .venv-3.$*/bin/python -m pytest -q $(PARALLEL) $(FAST) --hypothesis-profile quick

# Random schedules, kills at every system call, power cuts, mutated bytes, a month of pours; MINUTES and SEED choose.
MINUTES = 20
SEED = 1

torture: test-packages .venv-wheel/stamp
	$(IN_WHEEL) tests/torture/run.py --minutes $(MINUTES) --seed $(SEED)

# The program against a real GPIO chip, and the thermometer by the kernel's own driver, in a Linux that runs as a process.
# It is built once, from Debian's source.
.PHONY: gpio
gpio: test-packages .venv-wheel/stamp .gpio-kernel/linux
	PYTHONSAFEPATH=1 tests/gpio/kernel/boot .gpio-kernel .venv-wheel/bin/python

.gpio-kernel/linux: tests/gpio/kernel/build tests/gpio/kernel/gpio.config tests/gpio/kernel/off.c \
    tests/gpio/kernel/gpio-sim-burst.h tests/gpio/kernel/w1_sim.c
	$(call install_packages,linux-source-6.1 flex bison bc gcc libc6-dev make xz-utils)
	tests/gpio/kernel/build .gpio-kernel

# How fast it is, beside bare loops that do the same work; the picture in the README is drawn by the long one.
bench bench-quick: test-packages .venv-wheel/stamp
	$(IN_WHEEL) tests/bench/run.py $(if $(filter bench-quick,$@),--quick,--svg tests/bench/bench.svg)

# The pages of the demo, as pictures for the README and for whoever changes a page.
.PHONY: screenshots
screenshots: test-packages .venv-test/editable
	.venv-test/bin/python tests/browser/screenshots.py

.PHONY: test-packages
test-packages:
	$(call install_packages,$(RUN_PACKAGES) $(TEST_PACKAGES) $(SYSTEM_PACKAGES))

# The working tree itself is installed: an edit is what runs.
.venv-test/editable: setup.cfg
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/pip install -q --upgrade pip build
	.venv-test/bin/pip install -q -e '.[hub,dashboard,gpio,kegboard,mqtt,notify,postgresql,redis,runner,test]'
	touch $@

.PHONY: node-packages
node-packages: .venv-test/node/stamp

.venv-test/node/stamp: Makefile | .venv-test/editable
	@mkdir -p $(dir $@)
	@if command -v npm >/dev/null; then npm install --silent --ignore-scripts --prefix $(dir $@) $(NODE_PACKAGES) && touch $@; \
	else echo "npm is not here: the tests that take $(NODE_PACKAGES) are left out"; fi

# A Kegbot server as it was published, which takes a Python that is long gone.
.PHONY: kegbot-server
kegbot-server: .venv-test/kegbot/stamp

.venv-test/kegbot/stamp: tests/interop/kegbot/requirements.txt | .venv-test/editable
	@python=; \
	for candidate in python2.7 $$HOME/.pyenv/versions/2.7.*/bin/python; do \
	    if $$candidate -c '' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "Python 2.7 is not here: the tests with a Kegbot server are left out"; exit 0; fi; \
	$$python -m pip install -q --disable-pip-version-check --target $(dir $@)virtualenv 'virtualenv<20.16' && \
	PYTHONPATH=$(dir $@)virtualenv $$python -m virtualenv -q --clear $(dir $@)env && \
	$(dir $@)env/bin/pip install -q --no-deps -r $< && touch $@ || \
	echo "A Kegbot server does not install here: the tests with it are left out"

# Its packages' scripts build a database on disk, which is not needed here, for a minute and more.
lint: .venv-test/editable
	.venv-test/bin/python -m ruff check
	.venv-test/bin/python -m ruff format --check
	.venv-test/bin/python -m mypy
	shellcheck .ci/run service/debian/build-repository tests/gpio/kernel/build tests/gpio/kernel/boot tests/gpio/kernel/init service/install service/uninstall service/start-kegnet-client service/stop-kegnet-client service/kegnet-runner.init

# The Debian package for this machine's architecture and python3, in dist/.
deb: dist/deb-stamp

dist/deb-stamp: $(SOURCES) CHANGELOG.md LICENSE conf/client.conf $(shell find service -type f)
	$(call install_packages,$(DEB_PACKAGES))
	rm -f dist/*.deb
	service/debian/build-package dist
	lintian --allow-root dist/*.deb
	touch $@

# An apt repository of the packages that were built, in dist/apt: this machine's, and those of others that are there.
debs: deb
	service/debian/build-repository dist

clean:
	rm -rf .gpio-kernel .venv .venv-test .venv-wheel .venv-3.* build dist *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
