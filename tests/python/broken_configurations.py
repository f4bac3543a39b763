"""Every way to break a model by its configuration, and what the reason says."""

import os
from pathlib import Path

import models
from damage import (
    PAIR,
    RESULTS,
    SAMPLE,
    Way,
    configured,
    input0,
    instead,
    model,
    model_file,
    output0,
    remove,
    together,
    unreadable,
    warmed,
    written,
)

UNLOADABLE = r"unable to load model '{name}', "


CONFIGURATIONS = {
    "config_unparseable": Way(
        written("max_batch_size: many"),
        r"failed to read text proto from {folder}/config\.pbtxt:2:17: max_batch_size: .*found 'many'",
        r"expected an integer",
    ),
    "config_unclosed": Way(
        written("input [ { name: 'INPUT0'"),
        r"failed to read text proto from {folder}/config\.pbtxt:3:1: input\[0\]: .*found the end of the file",
        r"expected a field name or '\}}'",
    ),
    "config_unknown_field": Way(
        written("max_batchsize: 8"),
        r"config\.pbtxt:2:1: expected a field of ModelConfig, found 'max_batchsize'",
        r"the nearest known field is 'max_batch_size'",
    ),
    "config_wrong_type": Way(
        written('max_batch_size: "8"'), r"config\.pbtxt:2:17: max_batch_size: .*found \"8\"", r"expected an integer"
    ),
    "config_binary": Way(
        lambda folder: (folder / "config.pbtxt").write_bytes(b"\xff\xfe\x00name"),
        r"failed to read text proto from {folder}/config\.pbtxt:1:1: .*found the byte 0xff",
        r"expected a text that is saved as UTF-8",
    ),
    "config_unreadable": Way(
        unreadable("config.pbtxt"),
        r"failed to open text file for read {folder}/config\.pbtxt: Permission denied",
        r"make it a file that the server may read",
    ),
    "config_a_directory": Way(
        instead("config.pbtxt", Path.mkdir),
        r"failed to open text file for read {folder}/config\.pbtxt: Is a directory",
        r"make it a file that the server may read",
    ),
    "config_a_link_to_itself": Way(
        instead("config.pbtxt", lambda path: path.symlink_to("config.pbtxt")),
        r"failed to open text file for read {folder}/config\.pbtxt",
        r"make it a file that the server may read",
    ),
    "config_a_pipe": Way(
        instead("config.pbtxt", os.mkfifo),
        r"failed to open text file for read {folder}/config\.pbtxt: it is not a plain file",
        r"make it a file that the server may read",
    ),
    "name_of_another": Way(
        configured(replace=('name: "name', 'name: "other')),
        r"unexpected directory name '{name}' for model 'other_of_another', directory name must equal model name",
        r"rename the directory, or set name to '{name}' or leave it out",
    ),
    "backend_unknown": Way(
        configured(replace=("onnxruntime", "onnxruntim")),
        r"unable to find backend library for backend 'onnxruntim'",
        r"Put it into one of them, or start with --backend-directory=DIRECTORY",
    ),
    "platform_unknown": Way(
        configured(replace=('backend: "onnxruntime"', 'platform: "onnx"')),
        r"unexpected platform type 'onnx'",
        r"set backend to the engine\'s name instead",
    ),
    "platform_of_another_backend": Way(
        configured(extra='platform: "tensorrt_plan"'),
        r"unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime",
        r"set platform to onnxruntime_onnx",
    ),
    "backend_undetermined": Way(
        together(written(""), lambda folder: remove(model_file(folder))),
        r"Could not determine backend for model '{name}'",
        r"Expected model name of the form",
    ),
    "feature_unsupported": Way(
        configured(extra='model_repository_agents { agents { name: "checksum" } }'),
        r"asks for model_repository_agents, which is not supported yet",
        r"remove it",
    ),
    "max_batch_size_negative": Way(
        configured(batch=-1),
        r"'max_batch_size' must be non-negative value for {name}",
        r"use 0 for a model without batching",
    ),
    "max_batch_size_of_a_fixed_model": Way(
        together(model(models.add_sub("FP32", [16]).SerializeToString()), configured()),
        r"model '{name}', tensor 'INPUT0': for the model to support batching the shape should have at least 1 dimension",
        r"set max_batch_size to 0",
    ),
    "max_batch_size_alone_of_a_fixed_model": Way(
        together(model(models.add_sub("FP32", [2, 16]).SerializeToString()), written("max_batch_size: 8")),
        r"autofill failed for model '{name}': model does not support batching while non-zero max_batch_size is specified",
        r"set max_batch_size to 0",
    ),
    "max_batch_size_missing": Way(
        configured(batch=0),
        r"model '{name}', tensor 'INPUT0': the model expects 2 dimensions \(shape \[-1,16\]\) but the model configuration specifies 1 dimensions \(shape \[16\]\)",
        r"set its dims to \[-1,16\]",
    ),
    "inputs_too_few": Way(
        configured(inputs=PAIR[:1]),
        UNLOADABLE + r"configuration expects 1 inputs, model provides 2",
        r"configure each of them",
    ),
    "inputs_too_many": Way(
        configured(inputs=[*PAIR, ("INPUT2", "FP32", [16])]),
        UNLOADABLE + r"configuration expects 3 inputs, model provides 2",
        r"configure each of them",
    ),
    "input_twice": Way(
        configured(inputs=[PAIR[0], PAIR[0]]), r"model input 'INPUT0' is specified more than once", r"leave one of them"
    ),
    "input_of_another_name": Way(
        input0(name="OTHER"),
        r"unexpected inference input 'OTHER', allowed inputs are: INPUT0, INPUT1",
        r"correct its name",
    ),
    "input_of_no_name": Way(
        input0(name=""), r"model input must specify 'name'", r"give the name that it has in the model"
    ),
    "input_optional": Way(
        input0(more="optional: true"),
        UNLOADABLE + r"configuration says that input 'INPUT0' is optional, but the model requires it",
        r"remove its optional",
    ),
    "input_of_another_type": Way(
        input0(dtype="INT32"),
        UNLOADABLE + r"configuration expects datatype TYPE_INT32 for input 'INPUT0', model provides TYPE_FP32",
        r"set its data_type to TYPE_FP32",
    ),
    "input_of_no_type": Way(
        configured(replace=("data_type: TYPE_FP32 ", "")),
        r"model input 'INPUT0' must specify 'data_type'",
        r"give the type that it has in the model",
    ),
    "input_of_another_rank": Way(
        input0(dims=[16, 1]),
        r"model '{name}', tensor 'INPUT0': the model expects 2 dimensions \(shape \[-1,16\]\) but the model configuration specifies 3 dimensions \(an initial batch dimension because "
        r"max_batch_size > 0 followed by the explicit tensor shape, making complete shape \[-1,16,1\]\)",
        r"set its dims to \[16\]",
    ),
    "input_of_another_extent": Way(
        input0(dims=[15]),
        r"model '{name}', tensor 'INPUT0': the model expects 2 dimensions \(shape \[-1,16\]\).* complete shape \[-1,15\]",
        r"set its dims to \[16\]",
    ),
    "input_of_a_negative_extent": Way(
        input0(dims=[-2]), r"model input 'INPUT0' dimension must be integer >= 1, or -1", r"change -2 in its dims"
    ),
    "input_of_no_dims": Way(
        input0(dims=[]), r"model input 'INPUT0' must specify 'dims'", r"give its shape without the batch dimension"
    ),
    "input_of_a_format": Way(
        input0(more="format: FORMAT_NHWC"),
        r"model input NHWC/NCHW require 3 dims",
        r"remove the format of input 'INPUT0'",
    ),
    "input_reshaped_to_another_size": Way(
        input0(more="reshape { shape: [ 15 ] }"),
        r"model input 'INPUT0' has different size for dims and reshape",
        r"change dims \[16\] or reshape \[15\]",
    ),
    "input_reshaped_to_another_rank": Way(
        input0(more="reshape { shape: [ 4, 4 ] }"),
        r"model '{name}', tensor 'INPUT0': the model expects 2 dimensions",
        r"set the shape of its reshape to \[16\]",
    ),
    "output_of_another_name": Way(
        output0(name="OTHER"),
        r"unexpected inference output 'OTHER', allowed outputs are: OUTPUT0, OUTPUT1",
        r"correct its name",
    ),
    "output_twice": Way(
        configured(outputs=[RESULTS[1], RESULTS[1]]),
        r"model output 'OUTPUT1' is specified more than once",
        r"leave one of them",
    ),
    "output_of_another_type": Way(
        output0(dtype="FP64"),
        UNLOADABLE + r"configuration expects datatype TYPE_FP64 for output 'OUTPUT0', model provides TYPE_FP32",
        r"set its data_type to TYPE_FP32",
    ),
    "output_of_another_rank": Way(
        output0(dims=[4, 4]),
        r"model '{name}', tensor 'OUTPUT0': the model expects 2 dimensions",
        r"set its dims to \[16\]",
    ),
    "output_of_another_extent": Way(
        output0(dims=[-1]),
        r"model '{name}', tensor 'OUTPUT0': the model expects 2 dimensions \(shape \[-1,16\]\).* complete shape \[-1,-1\]",
        r"set its dims to \[16\]",
    ),
    "output_reshaped_to_another_size": Way(
        output0(more="reshape { shape: [ 2 ] }"),
        r"model output 'OUTPUT0' has different size for dims and reshape",
        r"change dims \[16\] or reshape \[2\]",
    ),
    "labels_missing": Way(
        lambda folder: remove(folder / "labels.txt"),
        r"failed to open text file for read {folder}/labels\.txt: No such file",
        r"put the labels of output 'OUTPUT0' of model '{name}' there",
    ),
    "labels_a_directory": Way(
        instead("labels.txt", Path.mkdir),
        r"failed to open text file for read {folder}/labels\.txt: Is a directory",
        r"put the labels of output 'OUTPUT0' of model '{name}' there",
    ),
    "labels_a_pipe": Way(
        instead("labels.txt", os.mkfifo),
        r"failed to open text file for read {folder}/labels\.txt: it is not a plain file",
        r"put the labels of output 'OUTPUT0' of model '{name}' there",
    ),
    "labels_binary": Way(
        lambda folder: (folder / "labels.txt").write_bytes(b"one\n\xff\n"),
        r"label file {folder}/labels\.txt is not valid UTF-8 in line 2",
        r"save it as UTF-8",
    ),
    "labels_hidden": Way(
        output0(more='label_filename: ".labels.txt"'),
        r"label file path .* for output 'OUTPUT0' in model '{name}' cannot be used: what has a name that begins with a dot",
        r"rename it, and set label_filename",
    ),
    "labels_outside": Way(
        output0(more='label_filename: "../labels.txt"'),
        r"label file path .* for output 'OUTPUT0' in model '{name}' is outside model directory",
        r"put the file there",
    ),
    "filename_of_nothing": Way(
        configured(extra='default_model_filename: "other.onnx"'),
        r"unable to find '{folder}/1/other\.onnx' for model '{name}'",
        r"name another with default_model_filename",
    ),
    "filename_outside": Way(
        configured(extra='default_model_filename: "../../model.onnx"'),
        r"model file path '\.\./\.\./model\.onnx' in model '{name}' is outside the version's directory",
        r"set default_model_filename to its path from there",
    ),
    "policy_of_other_versions": Way(
        configured(extra="version_policy { specific { versions: [ 2, 3 ] } }"),
        r"its version_policy names 2, 3, and its directory has 1",
        r"change version_policy, or add the folder",
    ),
    "policy_of_a_negative_version": Way(
        configured(extra="version_policy { specific { versions: [ -1 ] } }"),
        r"its version_policy names -1, and its directory has 1",
        r"change version_policy, or add the folder",
    ),
    "policy_of_no_version": Way(
        configured(extra="version_policy { specific { } }"),
        r"its version_policy names none, and its directory has 1",
        r"change version_policy",
    ),
    "instances_on_a_gpu": Way(
        configured(extra="instance_group { kind: KIND_GPU }"),
        r"an instance of KIND_GPU needs CUDAExecutionProvider, and ONNX Runtime's library '.*' was built without it",
        r"set the kind of the instance group to KIND_CPU or KIND_AUTO",
    ),
    "instances_on_a_gpus_processor": Way(
        configured(extra="instance_group { kind: KIND_CPU gpus: [ 0 ] }"),
        r"instance group {name}_0 of model {name} has kind KIND_CPU but specifies one or more GPUs",
        r"remove its gpus",
    ),
    "instances_beyond_count": Way(
        configured(extra="instance_group { count: 1000000 }"),
        r"instance group {name}_0 of model {name} has count 1000000, which must be <= 4096",
        r"lower its count",
    ),
    "instances_of_a_profile": Way(
        configured(extra='instance_group { kind: KIND_CPU profile: "0" }'),
        r"instance group {name}_0 of model {name} and platform onnxruntime_onnx specifies profile field",
        r"remove its profile",
    ),
    "batches_preferred_too_large": Way(
        configured(extra="dynamic_batching { preferred_batch_size: [ 4, 16 ] }"),
        r"dynamic batching preferred size must be <= max batch size for {name}",
        r"remove 16 from preferred_batch_size, or raise max_batch_size, which is 8",
    ),
    "batches_preferred_too_small": Way(
        configured(extra="dynamic_batching { preferred_batch_size: [ 0 ] }"),
        r"dynamic batching preferred size must be positive for {name}",
        r"remove 0 from preferred_batch_size",
    ),
    "priority_beyond_levels": Way(
        configured(extra="dynamic_batching { priority_levels: 2 default_priority_level: 3 }"),
        r"default priority level must be in range \[1, 2\] for {name}",
        r"set default_priority_level to one of these",
    ),
    "priorities_in_order": Way(
        configured(extra="dynamic_batching { priority_levels: 2 default_priority_level: 1 preserve_ordering: true }"),
        r"Only one priority level is allowed when 'preserve_ordering' is true for {name}",
        r"remove preserve_ordering or priority_levels",
    ),
    "parameter_no_number": Way(
        configured(extra='parameters { key: "intra_op_thread_count" value { string_value: "many" } }'),
        r"intra_op_thread_count.*many",
        r"expected a whole number from 0 to 1024",
    ),
}

FIRST = r"model '{name}', warm-up sample 'first': "
WARM_UPS = {
    "sample_of_another_shape": Way(
        warmed(INPUT0="data_type: TYPE_FP32 dims: [ 15 ] zero_data: true"),
        FIRST + r".*unexpected shape for input 'INPUT0' for model '{name}'\. Expected \[-1,16\], got \[1,15\]",
        r"correct the sample in model_warmup, or remove it",
    ),
    "sample_of_another_type": Way(
        warmed(INPUT0="data_type: TYPE_INT32 dims: [ 16 ] zero_data: true"),
        FIRST + r".*inference input 'INPUT0' data-type is 'INT32', but model '{name}' expects 'FP32'",
        r"correct the sample in model_warmup, or remove it",
    ),
    "sample_without_an_input": Way(
        warmed(INPUT1=None),
        FIRST + r".*expected 2 inputs but got 1 inputs for model '{name}'",
        r"Please provide all required input",
    ),
    "sample_with_an_input_more": Way(
        warmed(OTHER=SAMPLE["INPUT0"]),
        FIRST + r".*(expected 2 inputs but got 3|unexpected inference input 'OTHER')",
        r"correct the sample in model_warmup, or remove it",
    ),
    "sample_of_no_type": Way(
        warmed(INPUT0="dims: [ 16 ] zero_data: true"),
        FIRST + r"input 'INPUT0' must specify 'data_type'",
        r"use that of the model's input",
    ),
    "sample_of_open_dims": Way(
        warmed(INPUT0="data_type: TYPE_FP32 dims: [ -1 ] zero_data: true"),
        FIRST + r"input 'INPUT0' has dims \[-1\]",
        r"choose an extent",
    ),
    "sample_of_no_data": Way(
        warmed(INPUT0="data_type: TYPE_FP32 dims: [ 16 ]"),
        FIRST + r"input 'INPUT0' has no data",
        r"set one of zero_data, random_data and input_data_file",
    ),
    "sample_of_too_large_a_batch": Way(
        warmed("batch_size: 9"), FIRST + r"has batch_size 9, but max_batch_size is 8", r"use at most 8"
    ),
    "sample_file_missing": Way(
        warmed(INPUT0='data_type: TYPE_FP32 dims: [ 16 ] input_data_file: "row"'),
        FIRST + r"input 'INPUT0' has the file {folder}/warmup/row, which cannot be read: No such file",
        r"put it into the model's folder 'warmup'",
    ),
    "sample_file_outside": Way(
        warmed(INPUT0='data_type: TYPE_FP32 dims: [ 16 ] input_data_file: "../labels.txt"'),
        FIRST
        + r"input 'INPUT0' has input_data_file '\.\./labels\.txt', which is no file in the model's folder 'warmup'",
        r"put it there",
    ),
    "sample_file_short": Way(
        together(
            warmed(INPUT0='data_type: TYPE_FP32 dims: [ 16 ] input_data_file: "row"'),
            lambda folder: (folder / "warmup").mkdir(),
            lambda folder: (folder / "warmup" / "row").write_bytes(bytes(60)),
        ),
        FIRST
        + r"input 'INPUT0' has the file {folder}/warmup/row, which has 60 bytes, but one row of shape \[16\] and type FP32 has 64",
        r"write the raw elements of one row",
    ),
}
