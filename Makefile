# make demo   run the real node on this machine and write a report, a video and a sheet (make demo BAG=... TOPIC=...)
# make test   all tests, ROS ones included
# make help   the rest
#
# On x86-64 everything runs in .venv, with ROS 2 from PyPI's wheels. Elsewhere there are no such wheels: there the shell
# must have ROS 2 sourced, and .venv is put on top of it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
ROS ?= kilted
BAG ?=
TOPIC ?=
OUTPUT ?= demo
PYTEST_ARGUMENTS ?=

HERE := $(CURDIR)
BIN := $(abspath $(VENV))/bin
MACHINE := $(shell uname -m)

# Variables of a sourced ROS 2. With the wheels they would mix two versions of rclpy, or name a missing middleware.
ROS_VARIABLES := PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH ROS_DISTRO ROS_VERSION \
	ROS_PYTHON_VERSION ROS_LOCALHOST_ONLY ROS_DOMAIN_ID ROS_DISCOVERY_SERVER ROS_STATIC_PEERS RMW_IMPLEMENTATION \
	CYCLONEDDS_URI ZENOH_SESSION_CONFIG_URI FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_DEFAULT_PROFILES_FILE \
	_ROS_WHEELS_BOOTSTRAP_COMPLETE PYTHONHOME

ifeq ($(MACHINE),x86_64)
ROS_REQUIREMENTS := -r requirements/ros-$(ROS).txt
CLEAN := env $(addprefix -u ,$(ROS_VARIABLES))
RUN = $(CLEAN) PATH="$(BIN):$$PATH" AMENT_PREFIX_PATH="$(abspath $(VENV))" CMAKE_PREFIX_PATH="$(abspath $(VENV))" \
	RMW_IMPLEMENTATION=rmw_fastrtps_cpp ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
else
ROS_REQUIREMENTS :=
CLEAN := env -u _ROS_WHEELS_BOOTSTRAP_COMPLETE
RUN = $(CLEAN) PATH="$(BIN):$$PATH" ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
endif

# The first Python 3.10 to 3.13 that runs and has venv. (A version manager's shim may exist but not run.)
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11 python3.10; do $(CLEAN) $$p -c \
	'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 \
	&& echo $$p && break; done)
PIP = $(CLEAN) $(BIN)/python -m pip --disable-pip-version-check -q
# Two packages provide the module cv2 and conflict. Install the headless one only if cv2 is missing.
OPENCV = $$($(CLEAN) $(BIN)/python -c 'import cv2' 2>/dev/null || echo 'opencv-python-headless>=4.8,<5')

.PHONY: help setup setup-test demo test test-jazzy lint rclpy-path clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo 'make test-jazzy   the ROS tests against ROS 2 Jazzy'
	@echo 'make lint         ruff, mypy, codespell'
	@echo 'make clean        remove .venv and what demo and builds left'

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo 'make: no Python 3.10 to 3.13 with venv was found; install one, or run make PYTHON=...' >&2; exit 2; }
	@if [ "$(MACHINE)" != x86_64 ] && ! $(CLEAN) python3 -c 'import rclpy' 2>/dev/null; then \
		echo 'make: there are no ROS 2 wheels for $(MACHINE). Install ROS 2 (Jazzy or Kilted), run' \
		'`source /opt/ros/jazzy/setup.bash`, then make again.' >&2; exit 2; fi
	@$(CLEAN) $(PYTHON) -m venv $(if $(filter x86_64,$(MACHINE)),,--system-site-packages) $(VENV)

$(VENV)/.setup: $(BIN)/python setup.py requirements/ros-$(ROS).txt
	@echo 'installing what running needs into $(VENV) (about a minute)'
	@$(PIP) install $(ROS_REQUIREMENTS) $(OPENCV) -e '.[run]'
	@touch $@

$(VENV)/.setup-test: $(VENV)/.setup
	@echo 'installing what training and tests need into $(VENV) (some minutes; PyTorch is large)'
	@$(PIP) install -e '.[run,train,int8,test]' ruff mypy codespell
	@touch $@

setup: $(VENV)/.setup
setup-test: $(VENV)/.setup-test

demo: $(VENV)/.setup
	@$(RUN) $(BIN)/python -m minisegnet_ros.commands.demo --output '$(OUTPUT)' $(if $(BAG),--bag '$(BAG)') $(if $(TOPIC),--topic '$(TOPIC)')

# Exit code 5 means that PYTEST_ARGUMENTS selected no test of a group.
test: $(VENV)/.setup-test
	@$(RUN) $(BIN)/python -m pytest test/core test/recipes test/test_makefile.py test/test_documentation.py $(PYTEST_ARGUMENTS) || [ $$? = 5 ]
	@$(RUN) $(BIN)/python -m pytest test/ros $(PYTEST_ARGUMENTS) || [ $$? = 5 ]

test-jazzy:
	$(MAKE) --no-print-directory VENV=.venv-jazzy ROS=jazzy .venv-jazzy/.setup-ros-test
	$(MAKE) --no-print-directory VENV=.venv-jazzy ROS=jazzy ros-tests

$(VENV)/.setup-ros-test: $(VENV)/.setup
	@$(PIP) install pytest hypothesis
	@touch $@

.PHONY: ros-tests
ros-tests: $(VENV)/.setup-ros-test
	@$(RUN) $(BIN)/python -m pytest test/ros $(PYTEST_ARGUMENTS)

lint: $(VENV)/.setup-test
	@$(CLEAN) $(BIN)/ruff check .
	@$(CLEAN) $(BIN)/ruff format --check .
	@$(CLEAN) $(BIN)/mypy
	@$(CLEAN) $(BIN)/codespell

# Which rclpy the recipes above would use; a test holds that a sourced ROS 2 does not leak in.
rclpy-path:
	@$(RUN) $(BIN)/python -c 'import rclpy; print(rclpy.__file__)'

clean:
	rm -rf .venv .venv-jazzy build install log demo
