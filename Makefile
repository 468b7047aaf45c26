# make demo   the main job, on this machine: a real node, real messages, pictures to look at (make demo BAG=... TOPIC=...)
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
BACKGROUNDS ?=
TEXTURES ?=
BOXED ?=
PHOTOS ?=
PYTEST_ARGUMENTS ?=

HERE := $(CURDIR)
BIN := $(abspath $(VENV))/bin
MACHINE := $(shell uname -m)

# What a sourced ROS 2 leaves in the shell. Beside the wheels it would mix two rclpys, or name a middleware they have not.
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

# The first Python 3.10 to 3.13 that really runs and has venv. (A version manager's shim may exist and not run.)
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11 python3.10; do $(CLEAN) $$p -c \
	'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 \
	&& echo $$p && break; done)
PIP = $(CLEAN) $(BIN)/python -m pip --disable-pip-version-check -q
# Two packages bring the module cv2 and must not meet; the one without windows does where there is none.
OPENCV = $$($(CLEAN) $(BIN)/python -c 'import cv2' 2>/dev/null || echo 'opencv-python-headless>=4.8,<5')

.PHONY: help setup setup-test demo test test-jazzy lint model rclpy-path clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo 'make test-jazzy   the ROS tests against ROS 2 Jazzy'
	@echo 'make lint         ruff, mypy, codespell'
	@echo 'make model        train and export the shipped model from nothing (hours on a CPU); BACKGROUNDS=, TEXTURES=, BOXED=, PHOTOS= folders of photos'
	@echo 'make clean        remove .venv and what demo and builds left'

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo 'make: no Python 3.10 to 3.13 with venv was found; install one, or say make PYTHON=...' >&2; exit 2; }
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
	@$(RUN) $(BIN)/python -m minisegnet_ros.demo --output '$(OUTPUT)' $(if $(BAG),--bag '$(BAG)') $(if $(TOPIC),--topic '$(TOPIC)')

# Exit code 5 says that PYTEST_ARGUMENTS chose none of a part.
test: $(VENV)/.setup-test
	@$(RUN) $(BIN)/python -m pytest test/core test/test_makefile.py $(PYTEST_ARGUMENTS) || [ $$? = 5 ]
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

# BACKGROUNDS: folder of panoramas' faces for halls. TEXTURES: of turf. BOXED: photos with YOLO boxes (0 ball, 1 robot, 2 human).
# PHOTOS: holds the folders visualmesh and torso21 of which docs/photos has masks.
HALLS = $(if $(BACKGROUNDS),--backgrounds '$(BACKGROUNDS)') $(if $(TEXTURES),--textures '$(TEXTURES)')

# $(1): folder of the data set to which the photos are added, $(2): the model that labels them, $(3): how often each is taken, $(4): its size.
WEAK_LABELS = $(if $(BOXED),@set -e; for copy in $(3); do \
	$(RUN) $(BIN)/minisegnet import-dataset '$(BOXED)' --format boxes --map 0=ball 1=background 2=background \
	--model $(2) --network-size half --confidence 0.7 --longest-side $(4) --image-format jpg \
	--output $(1) --append --prefix "photo$${copy}_" --val 0; done)

# $(1): as above, $(2): folder of PHOTOS, $(3): size, $(4): prefix, $(5): options of its split.
PAINT := background=0,0,0 ball=255,64,0 line=255,255,255 field=0,160,0 ignore=255,0,255
DRAWN = $(if $(PHOTOS),@set -e; for copy in $$(seq 20); do \
	$(RUN) $(BIN)/minisegnet import-dataset '$(PHOTOS)/$(2)' --format masks --images '$(PHOTOS)/$(2)' --masks docs/photos/$(2) \
	--skip-unlabelled --colors $(PAINT) --longest-side $(3) --image-format jpg \
	--output $(1) --append --prefix "$(4)$${copy}_" --val 0 $(5); done)

model: $(VENV)/.setup-test
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/encoder_scenes --count 1300 --seed 1 --val-share 0.077 $(HALLS)
	@$(RUN) $(BIN)/minisegnet train --config config/model_encoder.yaml --data runs/encoder_scenes --output runs/encoder
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/scenes --count 1100 --seed 4 --size 512x384 --val-share 0.091 $(HALLS)
	@$(RUN) $(BIN)/minisegnet train --config config/model.yaml --encoder-weights runs/encoder/best.safetensors \
		--data runs/scenes --output runs/staged
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/mixed --count 3100 --seed 11 --size 512x384 --val-share 0.032 $(HALLS)
	$(call WEAK_LABELS,runs/mixed,runs/staged/best.safetensors,1 2 3,512)
	@$(RUN) $(BIN)/minisegnet train --config config/model_photos.yaml --init-from runs/staged/best.safetensors \
		--data runs/mixed --output runs/photos
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/more --count 9150 --seed 101 --size 512x384 --val-share 0.0164 \
		--set balls.distance='[0.2, 14]' $(HALLS)
	$(call WEAK_LABELS,runs/more,runs/photos/best.safetensors,1 2 3 4 5,512)
	@$(RUN) $(BIN)/minisegnet train --config config/model_more.yaml --init-from runs/photos/best.safetensors \
		--data runs/more --output runs/again
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/round_scenes --count 2500 --seed 303 --size 512x384 --val-share 0 \
		--set balls.distance='[0.2, 14]' --set camera.fisheye=1 --set camera.image_circle=1 --set camera.circle='[0.35, 0.9]' \
		--set camera.level=0.5 --set hall.lamps=0.9 $(HALLS)
	@$(RUN) $(BIN)/minisegnet import-dataset runs/round_scenes --format minisegnet --output runs/more --append --keep-splits --prefix round_
	@$(RUN) $(BIN)/minisegnet train --config config/model_round.yaml --init-from runs/again/best.safetensors \
		--data runs/more --output runs/round
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/large --count 4200 --seed 909 --val-share 0.0476 \
		--set balls.distance='[0.2, 16]' $(HALLS)
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/near --count 2600 --seed 1212 --val-share 0 --set balls.distance='[0.15, 5]' \
		--set balls.more=0.3 --set things.own_robot=0.7 --set things.close_actor=0.3 --set things.near_net=0.14 --set things.held=0.2 $(HALLS)
	@$(RUN) $(BIN)/minisegnet import-dataset runs/near --format minisegnet --output runs/large --append --keep-splits --prefix near_
	$(call WEAK_LABELS,runs/large,runs/round/best.safetensors,1 2 3,800)
	$(call DRAWN,runs/large,torso21,800,drawn,)
	$(call DRAWN,runs/large,visualmesh,800,drawn,--group-pattern '(.)$$' --test-groups 1 3 5 7 9)
	@$(RUN) $(BIN)/minisegnet train --config config/model_crops.yaml --init-from runs/round/best.safetensors \
		--data runs/large --output runs/crops
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/black --count 700 --seed 3131 --val-share 0 --set balls.distance='[0.2, 12]' \
		--set camera.fisheye=1 --set camera.image_circle=1 --set camera.circle='[0.3, 0.9]' --set things.held=0.3 --set hall.lamps=0.8 $(HALLS)
	@$(RUN) $(BIN)/minisegnet synthesize --output runs/held --count 500 --seed 4141 --val-share 0 --set balls.distance='[0.2, 6]' \
		--set things.held=1 --set things.own_robot=0.5 $(HALLS)
	@set -e; for copy in 1 2; do for kind in black held; do $(RUN) $(BIN)/minisegnet import-dataset runs/$$kind --format minisegnet \
		--output runs/large --append --keep-splits --prefix "$$kind$${copy}_"; done; done
	@$(RUN) $(BIN)/minisegnet train --config config/model_end.yaml --init-from runs/crops/best.safetensors \
		--data runs/large --output runs/end
	$(call DRAWN,runs/large,visualmesh,1280,large,--group-pattern '(.)$$' --test-groups 1 3 5 7 9)
	@$(RUN) $(BIN)/minisegnet train --config config/model_black.yaml --init-from runs/end/best.safetensors \
		--data runs/large --output runs/model
	@$(RUN) $(BIN)/minisegnet export runs/model/best.safetensors --output models/minisegnet.onnx --half-checkpoint
	@$(RUN) $(BIN)/minisegnet export runs/model/best.safetensors --output models/minisegnet_int8.onnx --int8

# Which rclpy the recipes above would use; a test holds that a sourced ROS 2 does not leak in.
rclpy-path:
	@$(RUN) $(BIN)/python -c 'import rclpy; print(rclpy.__file__)'

clean:
	rm -rf .venv .venv-jazzy build install log demo
