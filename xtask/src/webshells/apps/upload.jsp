<%
    // As careless as such pages are: the name is the visitor's.
    jakarta.servlet.http.Part part = request.getPart("file");
    java.nio.file.Path place = java.nio.file.Path.of(application.getRealPath("/up"));
    java.nio.file.Path file = place.resolve(part.getSubmittedFileName());
    java.nio.file.Files.copy(part.getInputStream(), file);
%>stored
