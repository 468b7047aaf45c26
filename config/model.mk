# `make model`: the shipped model from nothing, as models/README.md tells it. Included by the Makefile, which brings RUN and BIN.
#
# BACKGROUNDS: folder of panoramas' faces for halls. TEXTURES: of turf. BOXED: photos with YOLO boxes (0 ball, 1 robot, 2 human).
# PHOTOS: holds the folders visualmesh, torso21 and msl of which docs/photos has masks. All may be left out.
HALLS = $(if $(BACKGROUNDS),--backgrounds '$(BACKGROUNDS)') $(if $(TEXTURES),--textures '$(TEXTURES)')

# $(1): name, $(2): number, $(3): seed, $(4): share for validation, $(5): what else is set.
SCENES = @$(RUN) $(BIN)/minisegnet synthesize --output runs/$(1) --count $(2) --seed $(3) --val-share $(4) $(5) $(HALLS)

# Adds to the data set $(1) the scenes of runs/$(2).
ADD = @$(RUN) $(BIN)/minisegnet import-dataset runs/$(2) --format minisegnet --output $(1) --append --keep-splits --prefix $(2)_

# Renders $(3) scenes $(2) with the seed $(4) and the settings $(5), and adds them to the data set $(1).
define MORE
$(call SCENES,$(2),$(3),$(4),0,$(5))
$(call ADD,$(1),$(2))
endef

# Adds to the data set $(1) once more those $(2) of its training images that the model $(3) gets most wrong.
define HARDEST
@$(RUN) $(BIN)/minisegnet evaluate $(1) --split train --model $(3) --output $(1)_evaluated
@$(RUN) $(BIN)/minisegnet import-dataset $(1) --format minisegnet --hardest $(2) --evaluation $(1)_evaluated \
	--output $(1) --append --keep-splits --prefix hard_
endef

# Adds to the data set $(1) the photos of BOXED, labelled by the model $(2) at the size $(3); no larger than $(4).
WEAK_LABELS = $(if $(BOXED),@$(RUN) $(BIN)/minisegnet import-dataset '$(BOXED)' --format boxes --map 0=ball 1=background 2=background \
	--model $(2) --network-size $(3) --confidence 0.7 --longest-side $(4) --image-format jpg --output $(1) --append --prefix photo_ --val 0)

# Adds to the data set $(1) the photos of the folder $(2) of PHOTOS that we drew masks of, no larger than $(3), named $(4)...; $(5): split.
PAINT := background=0,0,0 ball=255,64,0 line=255,255,255 field=0,160,0 ignore=255,0,255
DRAWN = $(if $(PHOTOS),@$(RUN) $(BIN)/minisegnet import-dataset '$(PHOTOS)/$(2)' --format masks --images '$(PHOTOS)/$(2)' \
	--masks docs/photos/$(2) --skip-unlabelled --colors $(PAINT) --longest-side $(3) --image-format jpg \
	--output $(1) --append --prefix $(4) --val 0 $(5))
EVEN := --group-pattern '(.)$$' --test-groups 1 3 5 7 9
DATES := --group-pattern '^(.{8})' --test-groups 20230709 20240606 20240717 20260503

# Adds to the data set $(1) the photos of humanoid robots with drawn masks.
define DRAWN_PHOTOS
$(call DRAWN,$(1),torso21,800,drawn_)
$(call DRAWN,$(1),visualmesh,800,drawn_,$(EVEN))
$(call DRAWN,$(1),visualmesh,1280,large_,$(EVEN))
endef

# Adds to the data set $(1) all photos: those of BOXED, labelled by the model $(2), and those with drawn masks.
define ALL_PHOTOS
$(call WEAK_LABELS,$(1),$(2),native,800)
$(call DRAWN_PHOTOS,$(1))
endef

TRAIN = @$(RUN) $(BIN)/minisegnet train --config config/$(1).yaml --data runs/$(2) --output runs/$(3) $(4)
FROM = --init-from runs/$(1)/best.safetensors

# Commas would end an argument of `call`, so ranges stand here. Some of these views are those in which the model before made mistakes.
FAR14 := --set balls.distance='[0.2, 14]'
FAR16 := --set balls.distance='[0.2, 16]'
FAR20 := --set balls.distance='[2.5, 20]'
SMALL := --size 320x240 --set balls.distance='[0.2, 10]'
LAMPS := --size 512x384 $(FAR14) --set camera.fisheye=1 --set camera.image_circle=1 --set camera.circle='[0.35, 0.9]' \
	--set camera.level=0.5 --set hall.lamps=0.9
NEAR := --set balls.distance='[0.15, 5]' --set balls.more=0.3 --set things.own_robot=0.7 --set things.close_actor=0.3 \
	--set things.near_net=0.14 --set things.held=0.2
BLACK := --set balls.distance='[0.2, 12]' --set camera.fisheye=1 --set camera.image_circle=1 --set camera.circle='[0.3, 0.9]' \
	--set hall.lamps=0.8
HELD := --set balls.distance='[0.2, 6]' --set things.held=1 --set things.own_robot=0.5
WALLS := --set balls.distance='[0.2, 10]' --set hall.boards=1 --set hall.photo=0.2 --set hall.distance='[0.3, 3]' --set sensor.cast=0.5 \
	--set things.colored_posts=0.6 --set things.close_actor=0.3 --set things.held=0.2 --set things.own_robot=0.5

.PHONY: model
model: $(VENV)/.setup-test
	$(call SCENES,encoder_scenes,1300,1,0.077)
	$(call TRAIN,model_encoder,encoder_scenes,encoder)
	$(call SCENES,scenes,1100,4,0.091,--size 512x384)
	$(call TRAIN,model,scenes,staged,--encoder-weights runs/encoder/best.safetensors)
	$(call SCENES,mixed,3100,11,0.032,--size 512x384)
	$(call WEAK_LABELS,runs/mixed,runs/staged/best.safetensors,half,512)
	$(call TRAIN,model_photos,mixed,photos,$(call FROM,staged))
	$(call SCENES,both,9150,101,0.0164,--size 512x384 $(FAR14))
	$(call WEAK_LABELS,runs/both,runs/photos/best.safetensors,half,512)
	$(call TRAIN,model_more,both,again,$(call FROM,photos))
	$(call MORE,runs/both,lamps,2500,303,$(LAMPS))
	$(call TRAIN,model_round,both,round,$(call FROM,again))
	$(call SCENES,large,4200,909,0.0476,$(FAR16))
	$(call MORE,runs/large,near,2600,1212,$(NEAR))
	$(call WEAK_LABELS,runs/large,runs/round/best.safetensors,half,800)
	$(call DRAWN,runs/large,torso21,800,drawn_)
	$(call DRAWN,runs/large,visualmesh,800,drawn_,$(EVEN))
	$(call TRAIN,model_crops,large,crops,$(call FROM,round))
	$(call MORE,runs/large,black,700,3131,$(BLACK) --set things.held=0.3)
	$(call MORE,runs/large,held,500,4141,$(HELD))
	$(call TRAIN,model_end,large,end,$(call FROM,crops))
	$(call DRAWN,runs/large,visualmesh,1280,large_,$(EVEN))
	$(call TRAIN,model_black,large,eighth,$(call FROM,end))
	$(call SCENES,wide,4000,51001,0.05,$(FAR16))
	$(call ALL_PHOTOS,runs/wide,runs/eighth/best.safetensors)
	$(call TRAIN,model_ninth,wide,ninth,$(call FROM,eighth))
	$(call MORE,runs/wide,near2,3000,52002,$(NEAR))
	$(call MORE,runs/wide,black2,1000,54004,$(BLACK) --set things.held=0.3)
	$(call MORE,runs/wide,round2,400,55005,$(BLACK) --size 1280x1024)
	$(call TRAIN,model_tenth,wide,tenth,$(call FROM,ninth))
	$(call SCENES,fresh,2200,58008,0.091,$(FAR16))
	$(call MORE,runs/fresh,far3,1600,53003,$(FAR20))
	$(call MORE,runs/fresh,small3,800,57007,$(SMALL))
	$(call MORE,runs/fresh,held3,500,56006,$(HELD))
	$(call MORE,runs/fresh,near3,1200,52003,$(NEAR))
	$(call MORE,runs/fresh,round3,200,55006,$(BLACK) --size 1280x1024)
	$(call MORE,runs/fresh,walls,1300,60010,$(WALLS))
	$(call ALL_PHOTOS,runs/fresh,runs/tenth/best.safetensors)
	$(call TRAIN,model_eleventh,fresh,eleventh,$(call FROM,tenth))
	$(call SCENES,last,2200,61001,0.091,$(FAR16))
	$(call MORE,runs/last,far4,1800,61003,$(FAR20))
	$(call MORE,runs/last,small4,1200,61007,$(SMALL))
	$(call MORE,runs/last,walls4,2000,61010,$(WALLS))
	$(call MORE,runs/last,near4,900,61012,$(NEAR))
	$(call MORE,runs/last,held4,400,61006,$(HELD))
	$(call MORE,runs/last,round4,300,61005,$(BLACK) --set things.held=0.3)
	$(call HARDEST,runs/last,2600,runs/eleventh/last.ckpt)
	$(call ALL_PHOTOS,runs/last,runs/eleventh/last.ckpt)
	$(call TRAIN,model_twelfth,last,twelfth,--init-from runs/eleventh/last.ckpt)
	$(call SCENES,best,2600,71001,0.077,$(FAR16))
	$(call MORE,runs/best,walls5,2000,71010,$(WALLS))
	$(call MORE,runs/best,far5,1800,71003,$(FAR20))
	$(call MORE,runs/best,near5,800,71012,$(NEAR))
	$(call MORE,runs/best,held5,300,71006,$(HELD))
	$(call MORE,runs/best,round5,300,71005,$(BLACK) --set things.held=0.3)
	$(call DRAWN_PHOTOS,runs/best)
	$(call DRAWN,runs/best,msl,800,msl_,$(DATES))
	$(call TRAIN,model_thirteenth,best,thirteenth,$(call FROM,twelfth))
	$(call SCENES,deep,2600,81001,0.077,$(FAR16))
	$(call MORE,runs/deep,walls6,2000,81010,$(WALLS))
	$(call MORE,runs/deep,far6,2000,81003,$(FAR20))
	$(call MORE,runs/deep,near6,1200,81012,$(NEAR))
	$(call MORE,runs/deep,held6,300,81006,$(HELD))
	$(call MORE,runs/deep,round6,500,81005,$(BLACK) --set things.held=0.3)
	$(call DRAWN_PHOTOS,runs/deep)
	$(call DRAWN,runs/deep,msl,800,msl_,$(DATES))
	$(call TRAIN,model_fourteenth,deep,model,$(call FROM,thirteenth))
	@$(RUN) $(BIN)/minisegnet export runs/model/best.safetensors --output models/minisegnet.onnx --half-checkpoint
	@$(RUN) $(BIN)/minisegnet export models/minisegnet.safetensors --output models/minisegnet_int8.onnx --int8
