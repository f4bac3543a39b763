"""Every way to break a model by its files and directories, and what the reason says."""

import os
import shutil
from pathlib import Path

import models
from damage import (
    WHOLE,
    Way,
    classifier,
    configured,
    external,
    grown,
    instead,
    loop,
    model,
    of_opset,
    remove,
    together,
    twin,
    unreadable,
    versions,
)

# A model with weights.
LARGE = models.slow(1).SerializeToString()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><body>404: Not Found</body></html>\n"
LETTER = b"This is a letter, not a model.\n" * 100
TERABYTE = 1 << 40
NO_VERSION = (
    r"at least one version must be available under the version policy of model '{name}'; its directory has no version: "
)
NAME_IT = r"name the folder of a version by a whole number without leading zeros, such as 1"

FILES = {
    "file_missing": Way(
        instead("1/model.onnx", lambda path: None),
        r"unable to find '{folder}/1/model\.onnx' for model '{name}'",
        r"copy the file there",
    ),
    "file_empty": Way(model(b""), r"'{folder}/1/model\.onnx' is empty", r"copy the model's file again"),
    "file_cut_at_its_beginning": Way(
        model(LARGE[:1]), r"model\.onnx' is truncated: \d+ bytes or more are missing", r"copy it again"
    ),
    "file_cut_in_its_weights": Way(
        model(LARGE[: len(LARGE) // 2]), r"model\.onnx' is truncated: \d+ bytes or more are missing", r"copy it again"
    ),
    "file_cut_at_its_end": Way(
        model(LARGE[:-1]), r"model\.onnx' is truncated: \d+ bytes or more are missing", r"copy it again"
    ),
    "file_cut_between_fields": Way(model(WHOLE[:2]), r"Protobuf|protobuf|No graph|Missing", r"copy it again"),
    "file_of_zeros": Way(
        model(bytes(len(WHOLE))), r"model\.onnx' holds zeros from byte 0 on, as where a copy broke off", r"copy it again"
    ),
    "file_preallocated": Way(
        together(model(WHOLE), grown("1/model.onnx", TERABYTE)),
        rf"model\.onnx' holds zeros from byte {len(WHOLE)} on, as where a copy broke off",
        r"copy it again",
    ),
    "file_hidden": Way(
        together(
            instead("1/.model.onnx", lambda path: path.write_bytes(WHOLE)),
            configured(extra='default_model_filename: ".model.onnx"'),
        ),
        r"model file path '\.model\.onnx' in model '{name}' cannot be served: what has a name that begins with a dot is",
        r"rename it, and set default_model_filename",
    ),
    "file_named_with_nul": Way(
        configured(extra=r'default_model_filename: "mo\000del.onnx"'),
        r"model file path \"mo\\0del\.onnx\" in model '{name}' cannot be served: no file's name has a NUL",
        r"set default_model_filename to the name of the file that is there",
    ),
    "file_garbage": Way(model(LETTER), r"model\.onnx' is not an ONNX model", r"put the model's file there"),
    "file_a_page": Way(model(PAGE), r"is not an ONNX model but an HTML or XML page", r"download the file itself"),
    "file_a_pointer": Way(model(LFS), r"is a Git LFS pointer and not the file itself", r"run `git lfs pull`"),
    "file_unreadable": Way(
        unreadable("1/model.onnx"),
        r"unable to read '{folder}/1/model\.onnx': Permission denied",
        r"let the server's user read the file",
    ),
    "file_a_directory": Way(
        instead("1/model.onnx", Path.mkdir),
        r"unable to find '{folder}/1/model\.onnx/model\.onnx'",
        r"put the file there",
    ),
    "file_a_link_to_nothing": Way(
        instead("1/model.onnx", lambda path: path.symlink_to("gone.onnx")),
        r"it is a link to 'gone\.onnx', which does not exist",
        r"correct the link",
    ),
    "file_a_link_to_itself": Way(
        instead("1/model.onnx", lambda path: path.symlink_to("model.onnx")),
        r"unable to read '{folder}/1/model\.onnx'.*a link that leads to itself",
        r"correct the link",
    ),
    "file_a_pipe": Way(
        instead("1/model.onnx", os.mkfifo), r"'{folder}/1/model\.onnx' is not a file", r"put the model's file there"
    ),
    "file_in_a_file": Way(
        configured(extra='default_model_filename: "model.onnx/model.onnx"'),
        r"unable to read '{folder}/1/model\.onnx/model\.onnx'",
        r"correct the path",
    ),
    "operator_unknown": Way(
        model(models.unknown_operator().SerializeToString()),
        r"NoSuchOperator",
        r"export the model with operators that this ONNX Runtime has",
    ),
    "opset_unsupported": Way(
        model(of_opset(9999)), r"9999", r"use a newer ONNX Runtime, or export the model for an older version"
    ),
    "output_no_tensor": Way(
        model(classifier()),
        r"unsupported ONNX type 'SEQUENCE' for output 'probabilities'",
        r"export the model with tensors",
    ),
    "locale_missing": Way(
        model(models.language_guesser("xx_YY.UTF-8").SerializeToString()), r"xx_YY\.UTF-8", r"install that locale"
    ),
    "weights_missing": Way(
        external("weights.bin"),
        r"unable to find '{folder}/1/weights\.bin', in which '{folder}/1/model\.onnx' keeps weights",
        r"copy it there",
    ),
    "weights_short": Way(
        external("weights.bin", bytes(10)),
        r"weights\.bin' is truncated: the model keeps weights in it up to byte 64, and it has 10",
        r"copy it again",
    ),
    "weights_larger_than_memory": Way(
        together(external("weights.bin", bytes(64)), grown("1/weights.bin", TERABYTE)),
        r"model\.onnx' does not fit into memory: it has .*, and 1\.0 TiB of weights in files beside it",
        r"give the process more memory, or serve fewer or smaller models",
    ),
    "weights_hidden": Way(
        external(".weights.bin", bytes(64)),
        r"keeps weights in '\.weights\.bin', and what has a name that begins with a dot is passed over",
        r"rename it, and export the model",
    ),
    "weights_empty": Way(
        external("weights.bin", b""), r"weights\.bin' is empty, and the model keeps weights in it", r"copy it again"
    ),
    "weights_a_pointer": Way(
        external("weights.bin", LFS), r"weights\.bin' is a Git LFS pointer", r"run `git lfs pull`"
    ),
    "weights_outside": Way(
        external("../weights.bin", bytes(64)),
        r"'\.\./weights\.bin', which may lead out of the model's directory",
        r"put that file beside the model",
    ),
    "weights_absolute": Way(
        external("/etc/hostname"), r"'/etc/hostname', an absolute path", r"put that file beside the model"
    ),
    "weights_linked_outside": Way(
        together(
            external("weights.bin", bytes(64)),
            instead("1/weights.bin", lambda path: path.symlink_to("../../../elsewhere.bin")),
        ),
        r"'weights\.bin', a link that leads out of the model's directory",
        r"put that file beside the model",
    ),
    "weights_unreadable": Way(
        together(external("weights.bin", bytes(64)), unreadable("1/weights.bin")),
        r"unable to read '{folder}/1/weights\.bin'.*Permission denied",
        r"let the server's user read the file",
    ),
}

DIRECTORIES = {
    "version_01": Way(versions("01"), NO_VERSION + "'01' is none", NAME_IT),
    "version_v1": Way(versions("v1"), NO_VERSION + "'v1' is none", NAME_IT),
    "version_negative": Way(versions("-1"), NO_VERSION + "'-1' is none", NAME_IT),
    "version_enormous": Way(versions("99999999999999999999"), NO_VERSION + "'99999999999999999999' is none", NAME_IT),
    "version_beyond_64_bits": Way(
        versions("9223372036854775808"), NO_VERSION + "'9223372036854775808' is none", NAME_IT
    ),
    "version_1.0": Way(versions("1.0"), NO_VERSION + r"'1\.0' is none", NAME_IT),
    "version_spaced": Way(versions(" 1"), NO_VERSION + "' 1' is none", NAME_IT),
    "version_other_digits": Way(versions("١"), NO_VERSION + "'١' is none", NAME_IT),
    "versions_misspelt": Way(versions("v1", "01"), NO_VERSION + "'01', 'v1' are none", NAME_IT),
    "version_v1_unconfigured": Way(
        together(versions("v1"), lambda folder: remove(folder / "config.pbtxt")),
        r"Could not determine backend for model '{name}'.*; its directory has no version: 'v1' is none",
        NAME_IT,
    ),
    "version_a_pipe_unconfigured": Way(
        together(instead("1", os.mkfifo), lambda folder: remove(folder / "config.pbtxt")),
        r"Could not determine backend for model '{name}'.*: '1' is neither a directory nor a link to one",
        r"put a folder with the model's files there",
    ),
    "version_none_unconfigured": Way(
        together(lambda folder: remove(folder / "1"), lambda folder: remove(folder / "config.pbtxt")),
        r"Could not determine backend for model '{name}'.*; its directory has no version",
        r"put the model's files into a folder '1' in it",
    ),
    "version_a_file": Way(
        instead("1", Path.touch),
        NO_VERSION + r"'1' is neither a directory nor a link to one",
        r"put a folder with the model's files there",
    ),
    "version_none": Way(
        lambda folder: remove(folder / "1"), r"its directory has no version", r"put the model's files into a folder '1'"
    ),
    "version_a_link_to_itself": Way(
        instead("1", lambda path: path.symlink_to("1")),
        NO_VERSION + r"'1' is neither a directory nor a link to one",
        r"put a folder with the model's files there",
    ),
    "version_a_loop_of_links": Way(
        instead("1", loop),
        NO_VERSION + r"'1', '2' are neither directories nor links to any",
        r"put a folder with the model's files there",
    ),
    "version_unreadable": Way(
        unreadable("1"), r"unable to read '{folder}/1/model\.onnx': Permission denied", r"search its directories"
    ),
    "model_unreadable": Way(
        unreadable("."), r"its directory cannot be read: Permission denied", r"let the server's user read"
    ),
    "model_twice": Way(
        lambda folder: shutil.copytree(folder, twin(folder)),
        r"model '{name}' is not unique across all model repositories: it is in '{folder}' and in '.*/second/{name}'",
        r"remove or rename one of them",
    ),
}
