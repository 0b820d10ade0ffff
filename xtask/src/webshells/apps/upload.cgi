#!/usr/bin/perl
use strict;
use warnings;

read(STDIN, my $body, $ENV{CONTENT_LENGTH});
my ($name) = $body =~ /filename="([^"]+)"/;
my ($text) = $body =~ /\r\n\r\n(.*)\r\n--/s;
# As careless as such pages are: the name is the visitor's.
open(my $file, '>', "/usr/lib/cgi-bin/$name") or die $!;
print $file $text;
close $file;
chmod 0755, "/usr/lib/cgi-bin/$name";
print "Content-Type: text/plain\n\nstored\n";
