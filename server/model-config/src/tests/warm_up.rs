use nerite_backend::{Code, DType, Shape};
use nerite_core::model::{LoadError, WarmUp, WarmUpData, WarmUpInput};

use super::{Repository, x_to_y};
use crate::Options;

fn warm_ups(repository: &Repository) -> Result<Vec<WarmUp>, LoadError> {
    Ok(repository.read("m", Options::default())?.plan().warm_ups.clone())
}

#[test]
fn samples_are_as_configured_and_a_count_or_size_of_nothing_is_one() {
    let repository = Repository::configured(
        "max_batch_size: 4
         model_warmup {
           name: \"both\" batch_size: 3 count: 7
           inputs { key: \"b\" value { data_type: TYPE_STRING dims: [ 2, 1 ] random_data: true } }
           inputs { key: \"a\" value { data_type: TYPE_FP16 zero_data: false } }
         }
         model_warmup { inputs { key: \"x\" value { data_type: TYPE_INT64 dims: 0 input_data_file: \"a/../b\" } } }",
    );
    let input = |name: &str, dtype, dims: &[i64], data| WarmUpInput {
        name: name.to_owned(),
        dtype,
        dims: Shape::new(dims),
        data,
    };
    let file = repository.0.path().join("m/warmup/a/../b");
    let expected = [
        WarmUp {
            name: "both".to_owned(),
            rows: 3,
            count: 7,
            inputs: vec![
                input("a", DType::F16, &[], WarmUpData::Zero),
                input("b", DType::Bytes, &[2, 1], WarmUpData::Random),
            ],
        },
        WarmUp {
            name: String::new(),
            rows: 1,
            count: 1,
            inputs: vec![input("x", DType::I64, &[0], WarmUpData::File(file))],
        },
    ];
    assert_eq!(warm_ups(&repository).unwrap(), expected);
}

#[test]
fn a_sample_that_is_wrong_says_how_and_what_to_do() {
    let outside =
        "which is no file in the model's folder 'warmup'; put it there and give its path from there";
    let x = "data_type: TYPE_FP32";
    let table = [
        (x, "has no data; set one of zero_data, random_data and input_data_file".to_owned()),
        (
            "zero_data: true",
            "must specify 'data_type'; use that of the model's input, for instance TYPE_FP32".to_owned(),
        ),
        (
            "data_type: 77 zero_data: true",
            "must specify 'data_type'; use that of the model's input, for instance TYPE_FP32".to_owned(),
        ),
        (
            &format!("{x} zero_data: true dims: [ 3, -1 ]"),
            "has dims [3,-1], but every dimension must be >= 0; choose an extent where the model leaves it open"
                .to_owned(),
        ),
        (
            &format!("{x} zero_data: true dims: [ 4611686018427387904, 8 ]"),
            "has dims [4611686018427387904,8], which are more elements than can be counted; use smaller dims"
                .to_owned(),
        ),
        (&format!("{x} input_data_file: \"../a\""), format!("has input_data_file '../a', {outside}")),
        (
            &format!("{x} input_data_file: \"/etc/passwd\""),
            format!("has input_data_file '/etc/passwd', {outside}"),
        ),
        (&format!("{x} input_data_file: \"\""), format!("has input_data_file '', {outside}")),
        (
            &format!("{x} input_data_file: \"a/.b\""),
            "has input_data_file 'a/.b', and what has a name that begins with a dot is passed over when the server looks \
             for changes; rename it, and set input_data_file to the new path"
                .to_owned(),
        ),
        (&format!("{x} input_data_file: \".\""), format!("has input_data_file '.', {outside}")),
    ];
    for (input, expected) in table {
        let config = format!("model_warmup {{ name: \"s\" inputs {{ key: \"x\" value {{ {input} }} }} }}");
        let error = Repository::configured(&config).refusal();
        let expected = format!("model 'm', warm-up sample 's': input 'x' {expected}");
        assert_eq!((error.code, error.message), (Code::InvalidArgument, expected), "{config}");
    }
}

#[test]
fn a_sample_is_no_larger_than_a_batch_may_be() {
    let config =
        |most, size| format!("max_batch_size: {most} model_warmup {{ name: \"s\" batch_size: {size} }}");
    let whole = "input { name: \"x\" data_type: TYPE_FP32 dims: 2 } output { name: \"y\" data_type: TYPE_FP32 dims: 3 }";
    let refusal = |most, size, limit| {
        LoadError::invalid(format!(
            "model 'm', warm-up sample 's': has batch_size {size}, but max_batch_size is {most}; use at most {limit}"
        ))
    };
    // What is complete is checked before the model is opened.
    for (most, size, limit) in [(4, 5, 4), (0, 2, 1)] {
        let repository = Repository::configured(&format!("{} {whole}", config(most, size)));
        assert_eq!(repository.refusal(), refusal(most, size, limit));
    }
    // And what is completed, after: 0 becomes 4 where the model can batch.
    let batches = x_to_y(&[-1, 2], &[-1, 3]);
    let complete = |most, size| Repository::configured(&config(most, size)).served(&batches).map(drop);
    assert_eq!(complete(0, 4), Ok(()));
    assert_eq!(complete(0, 5), Err(refusal(4, 5, 4)));
    assert_eq!(complete(8, 8), Ok(()));
    assert_eq!(complete(8, 9), Err(refusal(8, 9, 8)));
}
