use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

/// A small generator of numbers (SplitMix64), so that one seed stands for a whole case.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn choose<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A message with about a third of its fields.
    pub(crate) fn message(&mut self, descriptor: &MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            let taken =
                field.containing_oneof().is_some_and(|oneof| oneof.fields().any(|f| message.has_field(&f)));
            if taken || !self.one_in(3) {
                continue;
            }
            let value = self.field(&field);
            message.set_field(&field, value);
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
                let entries = (0..self.below(4)).map(|_| (self.key(&key), self.value(&value))).collect();
                Value::Map(entries)
            }
            kind if field.is_list() => Value::List((0..self.below(5)).map(|_| self.value(&kind)).collect()),
            kind => self.value(&kind),
        }
    }

    fn key(&mut self, kind: &Kind) -> MapKey {
        self.value(kind).into_map_key().expect("a map's key")
    }

    fn value(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Int32 => Value::I32(self.integer() as i32),
            Kind::Int64 => Value::I64(self.integer() as i64),
            Kind::Uint32 => Value::U32(self.integer() as u32),
            Kind::Uint64 => Value::U64(self.integer()),
            Kind::Float => Value::F32(self.float() as f32),
            Kind::Double => Value::F64(self.float()),
            Kind::Bool => Value::Bool(self.one_in(2)),
            Kind::String => Value::String(self.string()),
            Kind::Enum(descriptor) => {
                let values: Vec<i32> = descriptor.values().map(|value| value.number()).collect();
                Value::EnumNumber(if self.one_in(10) {
                    self.integer() as i32
                } else {
                    values[self.below(values.len())]
                })
            }
            Kind::Message(descriptor) => Value::Message(self.message(descriptor)),
            other => panic!("the contract has no {other:?}"),
        }
    }

    /// Of all sizes, small ones as often as large.
    fn integer(&mut self) -> u64 {
        let bits = self.below(64);
        let value = self.next() >> bits;
        if self.one_in(4) { value.wrapping_neg() } else { value }
    }

    fn float(&mut self) -> f64 {
        match self.below(6) {
            0 => 0.0,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => self.below(1000) as f64 / 8.0,
            4 => -1e-7 * self.below(1000) as f64,
            _ => (self.next() as f64) * 1e10,
        }
    }

    fn string(&mut self) -> String {
        const PIECES: [&str; 16] =
            ["a", "Z9", "_", " ", "\n", "\t", "\"", "'", "\\", "#", "{", "é", "😀", "\0", "7f", "\u{7f}"];
        (0..self.below(6)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }
}
