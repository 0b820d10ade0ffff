#!/usr/bin/python3
"""A name service that answers every question for an address below example.net with one address."""
import socket
import struct
import sys

ADDRESS = socket.inet_aton(sys.argv[1])


def name(question):
    labels, at = [], 0
    while question[at]:
        length = question[at]
        labels.append(question[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += length + 1
    return ".".join(labels).lower(), at + 1


def answer(query):
    number, flags, questions = struct.unpack(">HHH", query[:6])
    if questions != 1:
        return None
    asked, end = name(query[12:])
    (kind,) = struct.unpack(">H", query[12 + end : 14 + end])
    question = query[12 : 16 + end]
    known = asked == "example.net" or asked.endswith(".example.net")
    found = known and kind == 1
    head = struct.pack(">HHHHHH", number, 0x8580 | (0 if known else 3), 1, int(found), 0, 0)
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + ADDRESS
    return head + question + (record if found else b"")


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    query, client = server.recvfrom(512)
    reply = answer(query)
    if reply:
        server.sendto(reply, client)
