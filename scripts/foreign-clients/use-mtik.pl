#!/usr/bin/perl
# Mtik.pm (MikroTik's wiki, and its copies) behind the runner's line protocol (see use-npm.mjs): use-mtik.pl FOLDER.
use strict;
use warnings;
use JSON::PP;

# the request's text as bytes in, bytes out: Mtik.pm knows nothing of character sets
my $json = JSON::PP->new->canonical->latin1;
$| = 1;
unshift @INC, $ARGV[0];
require Mtik;

sub say_line { print '@', $json->encode($_[0]), "\n" }

# the module has no way to name a port, but IO::Socket takes one along with the host
my $address = "$ENV{HOST}:$ENV{PORT}";
if (!Mtik::login($address, $ENV{LOGIN_USER}, $ENV{LOGIN_PASSWORD})) {
    say_line({ refused => $Mtik::error_msg });
    exit;
}
say_line({ ready => JSON::PP::true });
while (my $line = <STDIN>) {
    my $request = $json->decode($line);
    my @words = ($request->{command});
    push @words, map { "=$_=$request->{attributes}{$_}" } sort keys %{ $request->{attributes} };
    push @words, map { "?$_=$request->{queries}{$_}" } sort keys %{ $request->{queries} };
    my ($status, @rows) = Mtik::talk(\@words);
    if ($status > 1) {
        # talk() stops at !trap and leaves the !done that follows it to the next reader
        Mtik::read_sentence() if $status == 2;
        say_line({ trap => $rows[0]{message} });
    } else {
        say_line({ rows => [grep { defined } @rows] });
    }
}
