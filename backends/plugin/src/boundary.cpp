// Calls of a plugin's entry points, out of which no exception of C++ comes. It must not unwind the frames of Rust that wait
// for them.
#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <typeinfo>

// In uncaught.rs; they do not return.
extern "C" void nerite_keep_exiting_thread();
extern "C" void nerite_keep_foreign_exception();

namespace {

// What was thrown. boundary.rs has the same, where `caught` begins as false.
struct Thrown {
    bool caught;
    unsigned size; // Of the text without its NUL, or what it would be if there were room.
    char text[504];
};

void tell(Thrown &thrown, const char *prefix, const char *text) {
    thrown.size = static_cast<unsigned>(std::snprintf(thrown.text, sizeof thrown.text, "%s%s", prefix, text));
}

// For what has no text of its own. Called where it is being handled.
void tell_type(Thrown &thrown) {
    const std::type_info *type = abi::__cxa_current_exception_type();
    char *name = abi::__cxa_demangle(type->name(), nullptr, nullptr, nullptr);
    tell(thrown, "an object of type ", name != nullptr ? name : type->name());
    std::free(name);
}

template <typename... Arguments>
void *call(Thrown &thrown, void *(*function)(Arguments...), Arguments... arguments) {
    try {
        return function(arguments...);
    } catch (const abi::__forced_unwind &) {
        nerite_keep_exiting_thread(); // By pthread_exit. To be thrown on, and it must not go further.
        std::abort();
    } catch (const std::exception &exception) {
        thrown.caught = true;
        const char *what = exception.what();
        what != nullptr && *what != '\0' ? tell(thrown, "", what) : tell_type(thrown);
    } catch (...) {
        // Another language's has no type that could be read, and may not be let go of here: Rust ends the process over that.
        if (!std::current_exception()) nerite_keep_foreign_exception();
        thrown.caught = true;
        tell_type(thrown);
    }
    return nullptr;
}

} // namespace

extern "C" {

void *nerite_call(void *(*function)(void *), void *object, Thrown *thrown) { return call(*thrown, function, object); }

void *nerite_ask(void *(*function)(void *, void *), void *backend, void *attributes, Thrown *thrown) {
    return call(*thrown, function, backend, attributes);
}

void *nerite_execute(void *(*function)(void *, void **, unsigned), void *instance, void **requests, unsigned count,
                     Thrown *thrown) {
    return call(*thrown, function, instance, requests, count);
}

} // extern "C"
