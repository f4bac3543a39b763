// What makes of faulty.c a backend that throws each error that it would return. Of an error without a message it throws the
// code. With -DCATCHABLE=noexcept nothing can catch them, as if a destructor threw.
//
//     g++ -c -fPIC throwing.cpp
//     cc -shared -fPIC -fexceptions -DTRITONSERVER_ErrorNew=thrown -o libtriton_throwing.so faulty.c throwing.o -lstdc++
#include <stdexcept>

#ifndef CATCHABLE
#define CATCHABLE
#endif

extern "C" struct Error *thrown(unsigned code, const char *message) CATCHABLE {
    if (message == nullptr) throw code;
    throw std::runtime_error(message);
}
